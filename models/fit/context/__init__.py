"""Training of what acts behind a memory: contrast of chunk vectors, read in order, against queries."""
