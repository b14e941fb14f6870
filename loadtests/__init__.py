"""Measurements of a running service, through the client and nothing else."""
