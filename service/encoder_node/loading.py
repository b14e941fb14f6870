"""How loading a model fails, and what is told of one that was loaded."""

from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from models.errors import PrecisionError, WeightsError
from models.loading import LoadedEncoder
from service.config_models import ModelConfig
from service.errors import ModelLoadError, ServiceError
from service.ports import ModelInfo

log = structlog.get_logger(__name__)


@contextmanager
def failing_alone(model: str) -> Iterator[None]:
    """Tell what a variant raises, whatever it is, from failures of what all models share.

    Raises:
        ModelLoadError: whatever happened inside; names the model and says what it was.
    """
    try:
        yield
    except (WeightsError, PrecisionError) as error:
        raise ModelLoadError(f"model {model}: {error}") from error
    except ServiceError as error:  # of the first forward pass; the engine has logged the trace
        raise ModelLoadError(f"model {model}: {error.detail}") from error
    except Exception as error:
        log.exception("model_broken", model=model)
        raise ModelLoadError(f"model {model}: {type(error).__name__}: {error}") from error


def describe(model: ModelConfig, loaded: LoadedEncoder) -> ModelInfo:
    """Return what a client may know of a model."""
    encoder = loaded.encoder
    return ModelInfo(
        id=model.id,
        attention=loaded.attention,
        dimensions=encoder.config.width,
        max_chunk_tokens=encoder.config.max_tokens,
        memory_bytes=encoder.empty_memory().nbytes if encoder.has_memory else 0,
        fingerprint=loaded.fingerprint,
        base=loaded.base,
        checkpoint=loaded.adapter,
        evaluation=dict(loaded.evaluation),
        precision=loaded.precision,
    )
