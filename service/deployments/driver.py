"""The process that starts Ray, deploys the application, waits, and drains it.

Run by the supervisor as `python -m service.deployments.driver`, with its order as a line of JSON on stdin.
End of file on stdin means stop.
"""

import asyncio
import contextlib
import logging
import os
import shutil
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import ray
from pydantic import BaseModel
from ray import serve
from ray.serve.handle import DeploymentHandle
from ray.serve.schema import LoggingConfig

from service.config import ServiceConfig
from service.deployments import application
from service.deployments.daemons import vital_daemons, watched
from service.deployments.environment import ray_flags
from service.deployments.runs import hold

OBJECT_STORE_BYTES = 100 * 1024**2
STOP_SECONDS = 5.0


class Order(BaseModel):
    """What the supervisor asks for.

    Attributes:
        config: The configuration, with the port decided.
        directory: Directory of this run.
        address: Ray cluster to join; None starts one that ends with this process.
    """

    config: ServiceConfig
    directory: Path
    address: str | None = None


def main() -> int:
    """Serve until told to stop; returns the exit code."""
    order = Order.model_validate_json(sys.stdin.readline())
    logging.getLogger("ray").setLevel(logging.WARNING)
    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    stop = _watch_supervisor()
    # The lock says that this run is alive, even if the supervisor is not.
    with hold(order.directory):
        try:
            connect(order)
            reason = _serve(order, stop)
        except Exception as error:  # noqa: BLE001 - whatever Ray raises, the user reads one line
            reason = f"{type(error).__name__}: {error}"
        if reason is not None and order.address is None:
            _give_up(f"cannot start: {reason}")
        ray.shutdown()
        # The supervisor does the same; it may have been killed.
        shutil.rmtree(order.directory, ignore_errors=True)
    if reason is not None:
        _give_up(f"cannot start: {reason}")
    return 0


def _give_up(reason: str) -> NoReturn:
    """Say why and end this process at once, with what is left of a Ray of its own for the supervisor to end.

    An orderly end of Ray would take seconds to save nothing, and for ever if Ray's daemons are gone.
    """
    sys.stderr.write(f"longstream: {reason}\n")
    sys.stderr.flush()
    os._exit(1)


def _watch_supervisor() -> threading.Event:
    """Return an event that is set when the supervisor closes its end of stdin or is no more.

    A signal would not do: Ray puts a handler of its own on SIGTERM.
    """
    stop = threading.Event()

    def watch() -> None:
        sys.stdin.read()
        stop.set()

    threading.Thread(target=watch, name="supervisor-watch", daemon=True).start()
    return stop


def _serve(order: Order, stop: threading.Event) -> str | None:
    """Deploy, wait for the end, drain; returns why the service could not start, None if it could."""
    if order.address is None:
        with watched(vital_daemons(), lambda name: _give_up(f"broke down: Ray's {name} has ended")):
            return _run(order.config, stop)
    try:
        return _run(order.config, stop)
    finally:
        # Someone else's cluster: remove what is ours and leave the rest alone.
        serve.delete(application.APPLICATION)


def _run(config: ServiceConfig, stop: threading.Event) -> str | None:
    deploy(config)
    reason = _await_running(stop)
    if reason is None and not stop.is_set():
        reason = asyncio.run(failed_models(application.deployment_handles(config)))
    if reason is None:
        stop.wait()
        asyncio.run(drain(config))
    return reason


async def failed_models(handles: Sequence[DeploymentHandle[Any]]) -> str | None:
    """Say which models could not be loaded; returns that if nothing else is left."""
    answers = await asyncio.gather(*map(_failures, handles))
    replicas = [answer for answers_of_one in answers for answer in answers_of_one]
    reasons = dict.fromkeys(reason for reason in replicas if reason is not None)
    if all(answers) and None not in replicas:
        return "; ".join(reasons)
    for reason in reasons:
        sys.stderr.write(f"longstream: {reason}; it is not served\n")
    sys.stderr.flush()
    return None


async def _failures(handle: DeploymentHandle[Any]) -> list[str | None]:
    """Return per replica why it could not load its model, None if it could or does not say."""
    with contextlib.suppress(Exception):
        async with asyncio.timeout(STOP_SECONDS):
            # Waits until the handle knows the replicas, which a broadcast does not.
            await handle.ping.remote()
    answers = await _tell(handle, "failure", STOP_SECONDS)
    return [answer if isinstance(answer, str) else None for answer in answers]


def deploy(config: ServiceConfig) -> None:
    """Start all deployments at once, without waiting for any."""
    logs = LoggingConfig(log_level="WARNING", enable_access_log=False)
    serve.start(proxy_location=application.PROXY_LOCATION, logging_config=logs)
    target = serve.RunTarget(
        application.build_application(config),
        name=application.APPLICATION,
        route_prefix=None,
        logging_config=logs,
    )
    serve.run_many(
        [target], wait_for_ingress_deployment_creation=False, wait_for_applications_running=False
    )


def connect(order: Order) -> None:
    """Start a Ray of our own on this machine, or join the one that was named."""
    if order.address is not None:
        # The cluster's workers do not inherit from this process.
        flags = {"env_vars": ray_flags(order.config)}
        ray.init(address=order.address, namespace="serve", runtime_env=flags)
        return
    replicas = order.config.gateways + sum(model.first_replicas for model in order.config.served)
    ray.init(
        # "local": never the cluster that RAY_ADDRESS or a file of another user names.
        address="local",
        namespace="serve",
        include_dashboard=False,
        # Ray starts as many worker processes ahead of time: one per replica and one for Serve's controller.
        num_cpus=replicas + 1,
        object_store_memory=OBJECT_STORE_BYTES,
        log_to_driver=True,
        configure_logging=False,
        _temp_dir=str(order.directory),
    )


async def drain(config: ServiceConfig) -> None:
    """Let the gateways finish what they have begun, then let the encoders close their stores."""
    patience = application.DRAIN_SECONDS + STOP_SECONDS
    encoders = application.deployment_handles(config)
    if config.gateways == 0:
        await _tell(encoders[0], "stop", patience)
        return
    gateways = serve.get_deployment_handle(application.GATEWAY, application.APPLICATION)
    await _tell(gateways, "drain", patience)
    await asyncio.gather(*(_tell(encoder, "stop", STOP_SECONDS) for encoder in encoders))


async def _tell(handle: DeploymentHandle[Any], method: str, timeout_s: float) -> list[Any]:
    """Call a method of every replica; returns what those that lived answered, or raised.

    A replica that is dead or stuck must not keep the others from stopping; the stores are durable as they are.
    """
    with contextlib.suppress(Exception):
        return await handle.broadcast(method).results_async(
            timeout_s=timeout_s, return_exceptions=True
        )
    return []


def _await_running(stop: threading.Event) -> str | None:
    """Wait until every replica is up or the wait is called off; return why the former will never be."""
    while not application.running() and not stop.wait(0.25):
        reason = application.failure()
        if reason is not None:
            return reason
    return None


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # Ray's atexit hooks wait for daemons that are gone by now.
    os._exit(code)
