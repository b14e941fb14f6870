"""What Ray must find in the environment before it is imported, as data.

Ray reads most of its switches once, in every process, at import. The supervisor hands them to the driver
and Ray's daemons and workers inherit them from there.
"""

import os
import secrets
from collections.abc import Mapping

from service.config import ServiceConfig

FLAGS: Mapping[str, str] = {
    # Calls between replicas go over gRPC: a third of the CPU of Ray's object store on this path.
    "RAY_SERVE_USE_GRPC_BY_DEFAULT": "1",
    # The largest answer has `limits.answer_numbers` numbers, ten bytes each where they are tokens; the default of
    # 4 MiB would not hold 2048 vectors.
    "RAY_SERVE_REPLICA_GRPC_MAX_MESSAGE_LENGTH": str(64 * 1024**2),
    # Serve's own log goes to files in the run directory; what a user should read, replicas log themselves.
    "RAY_SERVE_LOG_TO_STDERR": "0",
    # Ray's default of 15 lets any other process on the machine starve the replicas.
    "RAY_worker_niceness": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    # One heap per thread lets a replica creep up by some percent over a book; two heaps stay flat, as fast.
    "MALLOC_ARENA_MAX": "2",
    "RAY_DEDUP_LOGS": "0",
    "RAY_COLOR_PREFIX": "0",
    # Without a limit, what replicas log fills the disk: Ray copies it to the command's output and keeps it.
    "RAY_ROTATION_MAX_BYTES": str(16 * 1024**2),
    "RAY_ROTATION_BACKUP_COUNT": "1",
}

OWN_CLUSTER_FLAGS: Mapping[str, str] = {
    # Ray's way to say "one machine only": all of its daemons then listen on loopback. Despite the name it
    # works everywhere; `_node_ip_address` does not, as Ray replaces a loopback address by a public one.
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    # Ray's own metrics have no readers here, and its exporter asks for no token.
    "RAY_enable_metrics_collection": "0",
    "RAY_AUTH_MODE": "token",
}


def ray_flags(config: ServiceConfig) -> dict[str, str]:
    """Return the variables that the driver and every worker of this service must see."""
    # Unless it is set, Ray pins OpenMP to one thread per replica; torch then never uses the others.
    return {**FLAGS, "OMP_NUM_THREADS": str(config.engine.threads or os.cpu_count() or 1)}


def driver_environment(config: ServiceConfig, *, own_cluster: bool) -> dict[str, str]:
    """Return the driver's environment: this process's own plus what Ray needs.

    Args:
        config: The resolved configuration.
        own_cluster: True if the driver starts its own Ray: then it is closed to others by a fresh token
            that is never written to disk. A cluster that was named brings its own rules.
    """
    environment = dict(os.environ)  # noqa: TID251 - the child inherits what this process was given
    environment.update(ray_flags(config))
    # Settings are resolved once, by the command; a replica gets them as a value.
    for name in [name for name in environment if name.startswith("LONGSTREAM_")]:
        del environment[name]
    if own_cluster:
        environment.pop("RAY_ADDRESS", None)
        environment.pop("RAY_AUTH_TOKEN_PATH", None)
        environment.update(OWN_CLUSTER_FLAGS)
        environment["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
    return environment
