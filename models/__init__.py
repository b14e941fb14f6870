"""Encoders, one per attention variant. Knows torch and nothing of serving."""
