"""`longstream evaluate-context`: what a memory of the document is worth to the vectors of its chunks."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from service.cli.progress import Bar

if TYPE_CHECKING:
    from models.evaluate import Variant
    from models.evaluate.context import ContextPlan, ContextReport

_BASE: Final = "multi-head"  # the attention of the checkpoint itself
_ATTENUATED: Final = "infini"
_HALVES: Final = ("report", "selection", "all")


def evaluate_context(  # noqa: PLR0913 - typer reads the options from the parameters
    *,
    data: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder of sets: DIR/SET/SPLIT/{docs,queries}.jsonl."),
    ] = None,
    sets: Annotated[
        str, typer.Option(metavar="SETS", help="Sets by name, or by path (with a slash in it).")
    ] = "squad_dev,squad_anaphora,peps,fairytaleqa,qmsum,covidqa,evidence_inference",
    split: Annotated[str, typer.Option(help="Split of the sets in DIR.")] = "dev",
    half: Annotated[
        str, typer.Option(help="Documents to report: report, selection (weights' own) or all.")
    ] = "report",
    model: Annotated[
        list[str] | None,
        typer.Option(metavar="ATTENTION", help="Model with memory; may be repeated."),
    ] = None,
    adapter: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ATTENTION=FILE", help="Instead of its own; repeat it for several seeds."
        ),
    ] = None,
    second_look: Annotated[
        bool, typer.Option("--second-look", help="Read chunks again with the whole document.")
    ] = False,
    position: Annotated[
        bool, typer.Option("--position", help="Gain after 0, 5k, 20k and 100k tokens of others.")
    ] = False,
    far: Annotated[
        bool, typer.Option("--far", help="With --position, after 500k tokens too.")
    ] = False,
    weights: Annotated[
        str | None, typer.Option(help="Checkpoint.", show_default="all-MiniLM-L6-v2")
    ] = None,
    limit_docs: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Read only the first N documents of each set."),
    ] = None,
    bf16: Annotated[
        bool, typer.Option("--bf16", help="Multiply in bfloat16: faster where the machine can.")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Of resampling and draws.")] = 0,
    device: Annotated[str, typer.Option(help="cpu, or a device of torch.")] = "cpu",
    threads: Annotated[
        int | None, typer.Option(min=1, help="Torch threads.", show_default="torch's own")
    ] = None,
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Where report.json, .md and .png go.")
    ] = Path("evaluation/context"),
) -> None:
    """Evaluate contextual chunk vectors in retrieval, beside everything that is cheaper.

    Runs in this process and is the same in every run.
    """
    from models.errors import ModelError  # noqa: PLC0415 - commands import when they run
    from models.evaluate.plot import require_matplotlib  # noqa: PLC0415
    from service.errors import ConfigError  # noqa: PLC0415

    asked = _Asked(
        data=data,
        sets=sets,
        split=split,
        half=half,
        model=tuple(model or ()),
        adapter=tuple(adapter or ()),
        second_look=second_look,
        position=position,
        far=far,
        weights=weights,
        limit_docs=limit_docs,
        bf16=bf16,
        seed=seed,
        device=device,
        threads=threads,
    )
    try:
        require_matplotlib()  # before the work, not after it
        out.mkdir(parents=True, exist_ok=True)
        report, text = _perform(asked)
        _write(report, text, out)
    except ModelError as error:
        raise ConfigError(str(error)) from error
    except OSError as error:
        raise ConfigError(f"--out {error.filename or out}: {error.strerror or error}") from error
    typer.echo(text, nl=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
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


def _perform(asked: _Asked) -> "tuple[ContextReport, str]":
    """Evaluate; return the report, and the same as Markdown.

    Raises:
        ConfigError: an option has no such value.
        ModelError: weights or sets do not fit, or a result cannot be trusted.
    """
    from dataclasses import replace  # noqa: PLC0415

    from rich.console import Console  # noqa: PLC0415
    from rich.progress import Progress  # noqa: PLC0415

    from models.evaluate.context import evaluate_context as run  # noqa: PLC0415
    from models.evaluate.context.markdown import as_markdown  # noqa: PLC0415
    from models.loading import use_threads  # noqa: PLC0415

    if asked.threads is not None:
        use_threads(asked.threads)
    plan = _plan(asked)
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        report = run(plan, Bar(progress))
    return replace(report, command=asked.as_dict()), as_markdown(report, asked.command())


def _plan(asked: _Asked) -> "ContextPlan":
    import math  # noqa: PLC0415
    from typing import cast  # noqa: PLC0415

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
        attenuate=lambda gate: _load(
            asked, _ATTENUATED, f"{_ATTENUATED} at {gate}", WITHOUT, math.log(gate / (1 - gate))
        ),
        models=tuple(_load(asked, *model) for model in _models(asked.model, asked.adapter)),
        half=cast("Half", asked.half),
        resampling=Resampling(asked.seed),
        second_look=asked.second_look,
        bf16=asked.bf16,
        positions=(POSITIONS + FAR * asked.far) if asked.position else (),
    )


def _models(wanted: Sequence[str], adapters: Sequence[str]) -> list[tuple[str, str, str]]:
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
    asked: _Asked, attention: str, id_: str, adapter: str, gate_logit: float | None = None
) -> "Variant":
    """Load one model onto the device; a ConfigError says why it cannot be loaded."""
    from models.config import DEFAULT_WEIGHTS, AttentionOptions  # noqa: PLC0415
    from models.errors import WeightsError  # noqa: PLC0415
    from models.evaluate import Variant  # noqa: PLC0415
    from models.loading import load_encoder  # noqa: PLC0415
    from service.errors import ConfigError  # noqa: PLC0415

    options = AttentionOptions() if gate_logit is None else AttentionOptions(gate_logit=gate_logit)
    try:
        loaded = load_encoder(attention, asked.weights or DEFAULT_WEIGHTS, options, adapter)
    except WeightsError as error:
        raise ConfigError(f"model {id_}: {error}") from error
    loaded.encoder.to(asked.device)
    return Variant.of(id_, loaded)


def _write(report: "ContextReport", text: str, out: Path) -> None:
    from models.evaluate.context.plot import draw  # noqa: PLC0415

    (out / "report.json").write_text(report.as_json(), encoding="utf-8")
    (out / "report.md").write_text(text, encoding="utf-8")
    draw(report, out / "report.png")
