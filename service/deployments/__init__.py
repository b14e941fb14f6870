"""The service as Ray Serve deployments, and the life of its processes; the only package that imports Ray.

    longstream serve (supervisor)          watches, forwards signals, leaves no process behind
    └── driver                             starts Ray, deploys, drains
        └── Ray
            ├── gateway replicas           uvicorn + FastAPI on the configured port
            └── encoder-<model> replicas   weights, batching engine, hot sessions

Serve's own HTTP proxy stays off: it queues request bodies without bound, and a stream of any length
needs backpressure to the client's socket. `supervisor` and what it imports stay free of Ray, so that
the process a user sees is small and starts at once.
"""
