"""The service's driver with a wheel: it deploys, scales and deploys anew while the service runs.

Run by `tests.chaos.rollout` with an `Order` as a line of JSON on stdin, then one command a line: `scale N`, `redeploy`.
After the start and after each command it prints the ids of all replicas, once all is done.
"""

import asyncio
import json
import sys
import time
from functools import partial
from typing import Any, Final

import ray
from ray import serve
from ray.serve._private.common import DeploymentID
from ray.serve.context import _get_global_client

from service.deployments import application, driver
from service.deployments.driver import Order
from service.deployments.runs import hold

SETTLE_SECONDS: Final = 600.0


class Pilot:
    """Steers one application.

    Args:
        order: As the driver gets it; each model has as many replicas as the first one.
    """

    def __init__(self, order: Order) -> None:
        self._order = order
        self._names = [application.encoder_name(model.id) for model in order.config.served]
        self._replicas = order.config.served[0].first_replicas
        self._before: frozenset[str] = frozenset()

    def obey(self, command: str, number: str = "") -> frozenset[str]:
        """Do something, wait until it is done, and return the ids of all replicas."""
        if command == "scale":
            self._replicas = int(number)
            for name in self._names:
                deployment = DeploymentID(name=name, app_name=application.APPLICATION)
                _ask("update_deployment_replicas", deployment, self._replicas)
            self._before = self._settled(frozenset())
        else:
            driver.deploy(self._order.config)
            self._replicas = self._order.config.served[0].first_replicas
            self._before = self._settled(gone=self._before)
        return self._before

    def _settled(self, gone: frozenset[str]) -> frozenset[str]:
        """Wait until there are as many replicas as there should be, none of them one of `gone`."""
        wanted = self._order.config.gateways + self._replicas * len(self._names)
        deadline = time.monotonic() + SETTLE_SECONDS
        while time.monotonic() < deadline:
            states = self._states()
            running = frozenset(name for name, state in states.items() if state == "RUNNING")
            if len(running) == len(states) == wanted and not running & gone:
                return running
            time.sleep(0.2)
        raise TimeoutError(f"not {wanted} running replicas after {SETTLE_SECONDS:g} s: {states}")

    def _states(self) -> dict[str, str]:
        details = _ask("get_serve_instance_details")
        found = details["applications"].get(application.APPLICATION, {}).get("deployments", {})
        return {
            replica["replica_id"]: str(getattr(replica["state"], "value", replica["state"]))
            for deployment in found.values()
            for replica in deployment["replicas"]
        }


def main() -> None:
    """Follow commands until there are no more."""
    order = Order.model_validate_json(sys.stdin.readline())
    # Numbers of replicas may be changed from outside only where the application says so.
    serve.RunTarget = partial(serve.RunTarget, external_scaler_enabled=True)  # type: ignore[assignment, misc]
    pilot = Pilot(order)
    with hold(order.directory):
        driver.connect(order)
        _tell(pilot.obey("deploy"))
        for line in sys.stdin:
            _tell(pilot.obey(*line.split()))
        asyncio.run(driver.drain(order.config))
        ray.shutdown()


def _ask(method: str, *values: object) -> Any:
    """Call a method of Serve's controller."""
    client: Any = _get_global_client()
    return ray.get(getattr(client._controller, method).remote(*values))


def _tell(replicas: frozenset[str]) -> None:
    sys.stdout.write(f"pilot {json.dumps(sorted(replicas))}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
