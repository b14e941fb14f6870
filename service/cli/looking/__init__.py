"""What `longstream attention` is made of: from an encoder to views, from views to panels, and panels on show."""
