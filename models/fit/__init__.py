"""Training of the variants' adapters: seeded, resumable, on CPU or GPU. `python -m models.fit --help` begins a run."""
