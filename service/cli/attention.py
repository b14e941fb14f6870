"""`longstream attention`: what an encoder looks at when it reads a text."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, TextIO, cast

import typer

from service.cli.looking.view import ALL, MEAN, Choice, Look, Stage, look
from service.cli.options import ConfigFile
from service.errors import ConfigError

if TYPE_CHECKING:
    from models.loading import LoadedEncoder
    from models.memory import Memory
    from models.tokenizer import TokenizedText

_SUFFIXES: Final = (".png", ".svg")
_SHOWN_TOKENS: Final = 64
_STANDARD_INPUT: Final = "-"


def attention(  # noqa: PLR0913 - typer reads the options from the parameters
    text: Annotated[
        str, typer.Argument(metavar="TEXT", help="Text to encode, or - for standard input.")
    ],
    *,
    model: Annotated[str, typer.Option(metavar="ID", help="Model of the configuration.")] = (
        "multi-head"
    ),
    layer: Annotated[
        int | None,
        typer.Option(metavar="N", help="Layer, from 0.", show_default="the last"),
    ] = None,
    head: Annotated[
        str, typer.Option(metavar=f"N|{MEAN}|{ALL}", help="Head, from 0; their mean; or each.")
    ] = MEAN,
    stage: Annotated[
        Stage,
        typer.Option(help="Fit of query and key, its softmax, or the norms of what comes out."),
    ] = Stage.WEIGHTS,
    context: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT|@FILE", help="Read this first, into the memory of a model that has one."
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw a heatmap instead: .png or .svg.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead.")] = False,
    config: ConfigFile = None,
) -> None:
    """Show what an encoder's attention looked at: a step of a layer, token by token.

    Runs in this process, without the service.
    """
    from models.errors import ModelError  # noqa: PLC0415 - commands import when they run

    choice = Choice(model, layer, head, stage)
    try:
        if out is not None:
            _check_output(out)  # before the work, not after it
        loaded = _load(model, config)
        shown = out is not None or not as_json
        tokenized = _tokenize(loaded, _text(text), shown=shown)
        seen = look(loaded, choice, tokenized, _memory(loaded, model, context))
    except ModelError as error:
        raise ConfigError(str(error)) from error
    if out is not None:
        _draw(seen, out)
    if as_json:
        _print_json(seen)
    elif out is None:
        _show(seen)


def _check_output(out: Path) -> None:
    """Make sure that a picture can be drawn and has a place.

    Raises:
        ConfigError: neither .png nor .svg, or no such directory.
        EvaluationError: matplotlib is not installed.
    """
    from models.evaluate.plot import require_matplotlib  # noqa: PLC0415

    if out.suffix.lower() not in _SUFFIXES:
        raise ConfigError(f"--out {out}: the format is chosen by the suffix, .png or .svg")
    if out.is_dir() or not out.parent.is_dir():
        raise ConfigError(f"--out {out}: not a file in a directory that is there")
    require_matplotlib()


def _load(id_: str, config: Path | None) -> "LoadedEncoder":
    """Load a configured model.

    Raises:
        ConfigError: there is none of that name, or it cannot be loaded.
    """
    from models.config import AttentionOptions  # noqa: PLC0415
    from models.errors import WeightsError  # noqa: PLC0415
    from models.loading import load_encoder, use_threads  # noqa: PLC0415
    from service.config import load_config  # noqa: PLC0415

    settings = load_config(config)
    configured = {model.id: model for model in settings.models}
    if id_ not in configured:
        raise ConfigError(f"--model {id_}: no such model; known: {', '.join(configured)}")
    model = configured[id_]
    if settings.engine.threads is not None:
        use_threads(settings.engine.threads)
    options = AttentionOptions(memory_rule=model.memory_rule)
    try:
        return load_encoder(model.attention, model.weights, options, model.adapter)
    except WeightsError as error:
        raise ConfigError(f"model {id_}: {error}") from error


def _text(argument: str) -> str:
    if argument != _STANDARD_INPUT:
        return argument
    # A process that was started without standard input has None here, which its type leaves out.
    stream = cast("TextIO | None", sys.stdin)
    if stream is None:
        raise ConfigError("standard input is closed")
    return _decoded(stream.buffer.read(), "standard input")


def _decoded(content: bytes, source: str) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{source} is not UTF-8: {error}") from error


def _tokenize(loaded: "LoadedEncoder", text: str, *, shown: bool) -> "TokenizedText":
    """Return the tokens of a text that is not too long.

    Args:
        loaded: The model.
        text: What to encode.
        shown: Whether people are to look at it; only then a map has to stay readable.

    Raises:
        ConfigError: too many tokens, or none.
        TextError: it is not Unicode.
    """
    [tokenized] = loaded.tokenizer.tokenize([text])
    count, window = len(tokenized.ids), loaded.tokenizer.max_tokens - 2
    if not count:
        raise ConfigError("there are no tokens in the text")
    if count > window:
        raise ConfigError(
            f"the text has {count} tokens; this model reads {window} at once, [CLS] and [SEP] aside"
        )
    if shown and count > _SHOWN_TOKENS:
        raise ConfigError(
            f"the text has {count} tokens; at most {_SHOWN_TOKENS} can be shown, [CLS] and [SEP] aside: "
            f"shorten it, or use --json alone, which takes {window}"
        )
    return tokenized


def _memory(loaded: "LoadedEncoder", id_: str, context: str | None) -> "Memory | None":
    """Return what the model remembers when it comes to the text; None if it has no memory.

    Raises:
        ConfigError: there is a context and no memory for it, or it cannot be read.
        TextError: it is not Unicode.
    """
    if not loaded.encoder.attention_has_memory:
        if context is not None:
            raise ConfigError(
                f"--context: the attention of {id_} has no memory to read it into; infini has one"
            )
        return None
    memory = loaded.encoder.empty_memory()
    return memory if context is None else _read(loaded, _context(context), memory)


def _context(argument: str) -> str:
    if not argument.startswith("@"):
        return argument
    file = Path(argument[1:])
    try:
        return _decoded(file.read_bytes(), f"--context {argument}")
    except OSError as error:
        raise ConfigError(f"--context {argument}: {error.strerror}") from error


def _read(loaded: "LoadedEncoder", text: str, memory: "Memory") -> "Memory":
    """Read a text of any length; return the memory after it."""
    import torch  # noqa: PLC0415
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import track  # noqa: PLC0415

    [segments] = loaded.tokenizer.segments([text])
    console = Console(stderr=True)
    hidden = not console.is_terminal or len(segments) == 1
    with torch.inference_mode():
        for segment in track(
            segments, "reading the context", console=console, transient=True, disable=hidden
        ):
            [memory] = loaded.encoder([segment], [memory]).memories
    if not memory.tokens_seen:
        raise ConfigError("--context: there are no tokens in it")
    return memory


def _draw(seen: Look, out: Path) -> None:
    from service.cli.looking.heatmap import draw  # noqa: PLC0415

    try:
        draw(seen, out)
    except OSError as error:
        raise ConfigError(f"--out {out}: {error.strerror or error}") from error
    typer.echo(f"wrote {out}", err=True)


def _print_json(seen: Look) -> None:
    import orjson  # noqa: PLC0415

    text = orjson.dumps(seen.as_dict(), option=orjson.OPT_SERIALIZE_NUMPY)
    typer.echo(text.decode())


def _show(seen: Look) -> None:
    from rich.console import Console  # noqa: PLC0415

    from service.cli.looking.terminal import show  # noqa: PLC0415

    show(seen, Console())
