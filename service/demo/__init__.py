"""The book that the demo reads."""
