"""The Ray Serve application: which deployments there are, and how each is looked after."""

from typing import Any

from ray import serve
from ray.serve import Application
from ray.serve.handle import DeploymentHandle
from ray.serve.schema import ApplicationStatus

from service.config import ServiceConfig
from service.deployments.encoder import Encoder
from service.deployments.gateway import Gateway
from service.deployments.routing import session_routing
from service.deployments.scaling import replica_options
from service.deployments.solo import Solo

APPLICATION = "longstream"
GATEWAY = "gateway"
DRAIN_SECONDS = 20.0
"""Longest time that running requests get once a process is told to stop."""
PROXY_LOCATION = "Disabled"

_CARE: dict[str, Any] = {
    # The engine and the store bound what is in flight; a second bound here would only hide their answer.
    "max_ongoing_requests": 1000,
    # What a caller holds back beyond that; Ray's default is no bound at all.
    "max_queued_requests": 1000,
    # A dead replica is found by the next check: these seconds are what a crash costs.
    "health_check_period_s": 1.0,
    "health_check_timeout_s": 10.0,
    "graceful_shutdown_timeout_s": DRAIN_SECONDS,
    "graceful_shutdown_wait_loop_s": 0.5,
    # New replicas first, then the old ones go: otherwise a redeploy leaves nobody to answer while models load.
    "max_surge_percent": 100,
    # A wrong path to the weights stays wrong. Once a replica has started, Serve never gives up on it.
    "max_constructor_retry_count": 1,
    # Logical CPUs decide placement only, and one machine must take any list of models.
    "ray_actor_options": {"num_cpus": 0},
}


def encoder_name(model: str) -> str:
    """Return the name of a model's deployment."""
    return f"encoder-{model}"


def build_application(config: ServiceConfig) -> Application:
    """Bind the gateway to one encoder deployment per served model; without gateways, the one model stands alone.

    Args:
        config: The configuration, with the port decided.
    """
    if config.gateways == 0:
        [model] = config.served
        return serve.deployment(name=encoder_name(model.id), num_replicas=1, **_CARE)(Solo).bind(
            model, config
        )
    encoders = {
        model.id: serve.deployment(
            name=encoder_name(model.id),
            request_router_config=session_routing(),
            **replica_options(model),
            **_CARE,
        )(Encoder).bind(model, config)
        for model in config.served
    }
    gateway = serve.deployment(name=GATEWAY, num_replicas=config.gateways, **_CARE)(Gateway)
    return gateway.bind(config, encoders)


def deployment_handles(config: ServiceConfig) -> list[DeploymentHandle[Any]]:
    """Return the encoders' handles of the running application."""
    return [
        serve.get_deployment_handle(encoder_name(model.id), APPLICATION) for model in config.served
    ]


def failure() -> str | None:
    """Return why the application cannot start, or None if it has or still may."""
    status = serve.status().applications.get(APPLICATION)
    if status is None or status.status is not ApplicationStatus.DEPLOY_FAILED:
        return None
    reasons = [
        f"{name}: {_last_line(deployment.message)}"
        for name, deployment in status.deployments.items()
        if "FAILED" in deployment.status or "UNHEALTHY" in deployment.status
    ]
    return "; ".join(reasons) or _last_line(status.message)


def running() -> bool:
    """Return whether every deployment has all of its replicas."""
    status = serve.status().applications.get(APPLICATION)
    return status is not None and status.status is ApplicationStatus.RUNNING


def _last_line(text: str) -> str:
    """Return the end of a traceback, which says what was wrong."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1].removeprefix("service.errors.ConfigError: ") if lines else "no reason given"
