"""Ray is imported once, here: its own modules raise deprecation warnings that pytest turns into errors."""

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import ray.serve.experimental.consistent_hash_router
    import ray.serve.handle  # noqa: F401 - imported for the effect
