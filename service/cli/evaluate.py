"""`longstream evaluate`: one table over all encoders, on texts with known answers."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from service.cli.options import ConfigFile
from service.cli.progress import Bar

if TYPE_CHECKING:
    from models.evaluate import Plan, Report, Variant
    from service.config import ServiceConfig
    from service.config_models import ModelConfig

_TEACHER = "multi-head"  # the attention of the checkpoint itself


def evaluate(  # noqa: PLR0913 - typer reads the options from the parameters
    *,
    data: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder of sets: DIR/SET/SPLIT/{docs,queries}.jsonl."),
    ] = None,
    sets: Annotated[
        str, typer.Option(metavar="SETS", help="Sets by name, or by path (with a slash in it).")
    ] = "squad_dev,fairytaleqa,peps",
    split: Annotated[str, typer.Option(help="Split of the sets in DIR.")] = "dev",
    sts: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Sentence pairs, lines of {s1, s2, score}.",
            show_default="DIR/stsb/en_SPLIT.jsonl",
        ),
    ] = None,
    models: Annotated[
        str | None,
        typer.Option(metavar="IDS", help="Models to evaluate.", show_default="all configured"),
    ] = None,
    baseline: Annotated[
        str | None,
        typer.Option(metavar="IDS", help="Models to state gains over.", show_default=_TEACHER),
    ] = None,
    limit_docs: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Read only the first N documents of each set."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the resampling.")] = 0,
    speed: Annotated[bool, typer.Option("--speed/--no-speed", help="Compare tokens/s.")] = True,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Torch threads.", show_default="as configured")
    ] = None,
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Where report.json, .md and .png go.")
    ] = Path("evaluation"),
    config: ConfigFile = None,
) -> None:
    """Evaluate encoders: sentence similarity, retrieval of chunks, agreement with the checkpoint, speed, bytes.

    Runs in this process. Everything but the speed is the same in every run.
    """
    from models.errors import ModelError  # noqa: PLC0415 - commands import when they run
    from models.evaluate.plot import require_matplotlib  # noqa: PLC0415
    from service.config import load_config  # noqa: PLC0415
    from service.errors import ConfigError  # noqa: PLC0415

    asked = _Asked(
        data, sets, split, sts, models, baseline, limit_docs, seed, speed, threads, config
    )
    settings = load_config(config)
    try:
        require_matplotlib()  # before the work, not after it
        out.mkdir(parents=True, exist_ok=True)
        report, text = _perform(asked, settings)
        _write(report, text, out)
    except ModelError as error:
        raise ConfigError(str(error)) from error
    except OSError as error:
        raise ConfigError(f"--out {error.filename or out}: {error.strerror or error}") from error
    typer.echo(text, nl=False)


@dataclass(frozen=True, slots=True)
class _Asked:
    """The options that decide what comes out."""

    data: Path | None
    sets: str
    split: str
    sts: Path | None
    models: str | None
    baseline: str | None
    limit_docs: int | None
    seed: int
    speed: bool
    threads: int | None
    config: Path | None

    def as_dict(self) -> dict[str, Any]:
        """Return plain values by the options' names."""
        return {k: str(v) if isinstance(v, Path) else v for k, v in asdict(self).items()}

    def command(self) -> list[str]:
        """Return the command line that asks for the same."""
        words = ["longstream", "evaluate"]
        for name, value in self.as_dict().items():
            if name == "speed":
                words += [] if value else ["--no-speed"]
            elif value is not None:
                words += [f"--{name.replace('_', '-')}", str(value)]
        return words


def _perform(asked: _Asked, settings: "ServiceConfig") -> "tuple[Report, str]":
    """Evaluate; return the report, and the same as Markdown.

    Raises:
        ConfigError: a model is unknown, or models of several checkpoints are to be compared.
        ModelError: weights or sets do not fit, or a result cannot be trusted.
    """
    from dataclasses import replace  # noqa: PLC0415

    from rich.console import Console  # noqa: PLC0415
    from rich.progress import Progress  # noqa: PLC0415

    from models.evaluate import evaluate as run  # noqa: PLC0415
    from models.evaluate.markdown import as_markdown  # noqa: PLC0415
    from models.loading import use_threads  # noqa: PLC0415

    threads = asked.threads or settings.engine.threads
    if threads is not None:
        use_threads(threads)
    chosen, teacher = _choose(settings.models, _split(asked.models))
    baselines = _known(_split(asked.baseline) or [teacher], [model.id for model in chosen])
    plan = _plan(asked, teacher, baselines)
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        report = run([_load(model) for model in chosen], plan, Bar(progress))
    return replace(report, command=asked.as_dict()), as_markdown(report, asked.command())


def _plan(asked: _Asked, teacher: str, baselines: Sequence[str]) -> "Plan":
    from models.evaluate import Plan  # noqa: PLC0415
    from models.evaluate.bootstrap import Resampling  # noqa: PLC0415
    from models.evaluate.plan import SPEED_ROUNDS  # noqa: PLC0415
    from models.evaluate.sources import find_pairs, find_sets  # noqa: PLC0415

    return Plan(
        sets=find_sets(_split(asked.sets), asked.data, asked.split, asked.limit_docs),
        pairs=find_pairs(asked.sts, asked.data, asked.split),
        teacher=teacher,
        baselines=tuple(baselines),
        resampling=Resampling(asked.seed),
        speed_rounds=SPEED_ROUNDS if asked.speed else 0,
    )


def _choose(
    configured: "Sequence[ModelConfig]", wanted: Sequence[str]
) -> "tuple[list[ModelConfig], str]":
    """Return the models to evaluate, and which of them is the teacher: the checkpoint as it was published.

    The teacher is read in any case, first if it was not asked for: the others are measured by it.

    Raises:
        ConfigError: a model is unknown, or not all are of one checkpoint.
    """
    from service.config_models import ModelConfig  # noqa: PLC0415
    from service.errors import ConfigError  # noqa: PLC0415

    by_id = {model.id: model for model in configured}
    chosen = [by_id[id_] for id_ in _known(wanted or list(by_id), list(by_id))]
    weights = sorted({model.weights for model in chosen})
    if len(weights) > 1:
        raise ConfigError(
            f"models of one checkpoint are evaluated at a time; these have {', '.join(weights)}: choose with --models"
        )
    teacher = ModelConfig(id=_TEACHER, attention=_TEACHER, weights=weights[0])
    for model in [*chosen, *configured]:
        bare = model.attention == _TEACHER and model.adapter in ("packaged", "none")
        if bare and model.weights == weights[0]:
            return chosen if model in chosen else [model, *chosen], model.id
    return [teacher, *chosen], teacher.id


def _known(wanted: Sequence[str], known: Sequence[str]) -> list[str]:
    """Return the ids without repetition.

    Raises:
        ConfigError: there is no such model.
    """
    from service.errors import ConfigError  # noqa: PLC0415

    unknown = [id_ for id_ in wanted if id_ not in known]
    if unknown:
        raise ConfigError(f"unknown model {', '.join(unknown)}; known: {', '.join(known)}")
    return list(dict.fromkeys(wanted))


def _split(ids: str | None) -> list[str]:
    return [id_.strip() for id_ in (ids or "").split(",") if id_.strip()]


def _load(model: "ModelConfig") -> "Variant":
    """Load one model; a ConfigError says why it cannot be loaded."""
    from models.config import AttentionOptions  # noqa: PLC0415
    from models.errors import WeightsError  # noqa: PLC0415
    from models.evaluate import Variant  # noqa: PLC0415
    from models.loading import load_encoder  # noqa: PLC0415
    from service.errors import ConfigError  # noqa: PLC0415

    options = AttentionOptions(memory_rule=model.memory_rule)
    try:
        loaded = load_encoder(model.attention, model.weights, options, model.adapter)
    except WeightsError as error:
        raise ConfigError(f"model {model.id}: {error}") from error
    return Variant.of(model.id, loaded)


def _write(report: "Report", text: str, out: Path) -> None:
    from models.evaluate.plot import draw  # noqa: PLC0415

    (out / "report.json").write_text(report.as_json(), encoding="utf-8")
    (out / "report.md").write_text(text, encoding="utf-8")
    draw(report, out / "report.png")
