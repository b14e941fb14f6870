"""Whether every model can work now, asked often and answered cheaply."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import structlog

from service.errors import MODEL_FAILED, ServiceError
from service.ports import EncoderPort

CHECK_SECONDS: Final = 5.0
"""A model that has not answered by then is not ready."""
FRESH_SECONDS: Final = 1.0
"""How long an answer stands, so that probes cost the models one check a second at most."""

_log = structlog.get_logger("longstream.api")


@dataclass(frozen=True, slots=True)
class ModelState:
    """Outcome of one model's check; `error` is a code, None if it passed."""

    id: str
    error: str | None

    @property
    def failed(self) -> bool:
        """True if the model could not be loaded, which waiting does not mend."""
        return self.error == MODEL_FAILED


class Readiness:
    """Checks all models, keeps the outcome for a moment, and never runs two checks at once.

    Args:
        encoders: Served models by id.
        check_seconds: Longest time one model's check may take.
        fresh_seconds: How long an outcome stands.
    """

    def __init__(
        self,
        encoders: Mapping[str, EncoderPort],
        check_seconds: float = CHECK_SECONDS,
        fresh_seconds: float = FRESH_SECONDS,
    ) -> None:
        self._encoders = encoders
        self._check_seconds = check_seconds
        self._fresh_seconds = fresh_seconds
        self._lock = asyncio.Lock()
        self._states: tuple[ModelState, ...] = ()
        self._checked_at = float("-inf")

    async def states(self) -> tuple[ModelState, ...]:
        """Return the state of every model, at most `fresh_seconds` old."""
        async with self._lock:
            if time.monotonic() - self._checked_at > self._fresh_seconds:
                checks = (self._check(name, port) for name, port in self._encoders.items())
                self._states = tuple(await asyncio.gather(*checks))
                self._checked_at = time.monotonic()
            return self._states

    async def _check(self, model: str, encoder: EncoderPort) -> ModelState:
        try:
            async with asyncio.timeout(self._check_seconds):
                await encoder.check()
        except TimeoutError:
            return ModelState(model, "timeout")
        except ServiceError as error:
            return ModelState(model, error.code)
        except Exception:  # noqa: BLE001 - a probe reports what is broken, whatever it is
            _log.exception("check_failed", model=model)
            return ModelState(model, "internal_error")
        return ModelState(model, None)
