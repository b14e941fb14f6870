"""Seeded load on longstream and on the servers people use instead, side by side in one run."""
