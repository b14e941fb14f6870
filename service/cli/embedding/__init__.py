"""What `longstream embed` is made of: source, journal, run, formats, progress."""
