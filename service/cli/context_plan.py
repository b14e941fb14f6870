"""What `longstream evaluate-context` is asked for, and the plan that it comes to."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from models.config import AttentionOptions
    from models.evaluate import Variant
    from models.evaluate.context import ContextPlan

_BASE: Final = "multi-head"  # the attention of the checkpoint itself
_ATTENUATED: Final = "infini"
_HALVES: Final = ("report", "selection", "all")


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextOptions:
    """The options that decide what comes out."""

    data: Path | None
    sets: str
    split: str
    half: str
    model: tuple[str, ...]
    adapter: tuple[str, ...]
    second_look: bool
    position: bool
    far: bool
    weights: str | None
    limit_docs: int | None
    bf16: bool
    seed: int
    device: str
    threads: int | None

    def as_dict(self) -> dict[str, Any]:
        """Return plain values by the options' names."""
        return {k: str(v) if isinstance(v, Path) else v for k, v in asdict(self).items()}

    def command(self) -> list[str]:
        """Return the command line that asks for the same."""
        words = ["longstream", "evaluate-context"]
        for name, value in self.as_dict().items():
            option = f"--{name.replace('_', '-')}"
            if isinstance(value, bool):
                words += [option] * value
            elif isinstance(value, tuple):
                words += [word for item in value for word in (option, item)]
            elif value is not None:
                words += [option, str(value)]
        return words


def context_plan(asked: ContextOptions) -> "ContextPlan":
    """Return what is to be evaluated, sets read and models loaded.

    Raises:
        ConfigError: an option has no such value.
        ModelError: weights or sets do not fit.
    """
    import math  # noqa: PLC0415
    from typing import cast  # noqa: PLC0415

    from models.config import AttentionOptions  # noqa: PLC0415
    from models.evaluate.bootstrap import Resampling  # noqa: PLC0415
    from models.evaluate.context import ContextPlan  # noqa: PLC0415
    from models.evaluate.context.halves import Half  # noqa: PLC0415
    from models.evaluate.context.plan import FAR, POSITIONS  # noqa: PLC0415
    from models.evaluate.sources import find_pairs, find_sets  # noqa: PLC0415
    from models.loading import WITHOUT  # noqa: PLC0415
    from service.errors import ConfigError  # noqa: PLC0415

    if asked.half not in _HALVES:
        raise ConfigError(f"--half {asked.half}: it is one of {', '.join(_HALVES)}")
    names = [name.strip() for name in asked.sets.split(",") if name.strip()]
    return ContextPlan(
        sets=find_sets(names, asked.data, asked.split, asked.limit_docs),
        pairs=find_pairs(None, asked.data, asked.split),
        base=_load(asked, _BASE, _BASE, WITHOUT),
        attenuate=lambda gate, first: _load(
            asked,
            _ATTENUATED,
            f"{_ATTENUATED} at {gate}",
            WITHOUT,
            AttentionOptions(gate_logit=math.log(gate / (1 - gate)), memory_from=first),
        ),
        models=tuple(_load(asked, *model) for model in models_of(asked.model, asked.adapter)),
        half=cast("Half", asked.half),
        resampling=Resampling(asked.seed),
        second_look=asked.second_look,
        bf16=asked.bf16,
        positions=(POSITIONS + FAR * asked.far) if asked.position else (),
    )


def models_of(wanted: Sequence[str], adapters: Sequence[str]) -> list[tuple[str, str, str]]:
    """Return attention, id and adapter of each model: its packaged adapter, or each of those given for it.

    Raises:
        ConfigError: an adapter is not given as ATTENTION=FILE.
    """
    from models.loading import PACKAGED  # noqa: PLC0415
    from service.errors import ConfigError  # noqa: PLC0415

    files: dict[str, list[str]] = {}
    for given in adapters:
        attention, is_, file = given.partition("=")
        if not (attention and is_ and file):
            raise ConfigError(f"--adapter {given}: say ATTENTION=FILE")
        files.setdefault(attention, []).append(file)
    models = []
    for attention in dict.fromkeys([*wanted, *files]):
        given_files = files.get(attention, [])
        models += [(attention, f"{attention} {Path(file).stem}", file) for file in given_files]
        if not given_files:
            models.append((attention, attention, PACKAGED))
    return models


def _load(
    asked: ContextOptions,
    attention: str,
    id_: str,
    adapter: str,
    options: "AttentionOptions | None" = None,
) -> "Variant":
    """Load one model onto the device; a ConfigError says why it cannot be loaded."""
    from models.config import DEFAULT_WEIGHTS  # noqa: PLC0415
    from models.errors import WeightsError  # noqa: PLC0415
    from models.evaluate import Variant  # noqa: PLC0415
    from models.loading import load_encoder  # noqa: PLC0415
    from service.errors import ConfigError  # noqa: PLC0415

    try:
        loaded = load_encoder(attention, asked.weights or DEFAULT_WEIGHTS, options, adapter)
    except WeightsError as error:
        raise ConfigError(f"model {id_}: {error}") from error
    loaded.encoder.to(asked.device)
    return Variant.of(id_, loaded)
