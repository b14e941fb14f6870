"""What a model with memory does with sessions, put together over one store."""

from dataclasses import dataclass

from models.loading import LoadedEncoder
from service.config import ServiceConfig
from service.encoder_node.memory_view import MemoryView
from service.encoder_node.questions import Questions
from service.encoder_node.reader import TextReader
from service.encoder_node.recalling import Recaller
from service.encoder_node.searching import ChunkSearch
from service.engine import Engine
from service.metrics import EncoderMetrics
from service.ports import ModelInfo
from service.sessions.appender import Appender
from service.sessions.hot import HotStates
from service.sessions.index import ChunkIndex
from service.sessions.retention import Retention
from service.sessions.revisits import Revisits
from service.sessions.stateless import StatelessReader
from service.sessions.stores.base import SessionStore


@dataclass(frozen=True, slots=True)
class Model:
    """A model that reads, as its parts.

    Attributes:
        loaded: Weights and tokenizer.
        info: What a client may know of it.
        engine: Runs it.
        reader: Cuts texts and pools vectors.
        recaller: Asks its recall head; None where it has none.
    """

    loaded: LoadedEncoder
    info: ModelInfo
    engine: Engine
    reader: TextReader
    recaller: Recaller | None


@dataclass(frozen=True, slots=True)
class SessionWork:
    """What can be asked of a model's sessions, and of documents without one."""

    appender: Appender
    revisits: Revisits
    questions: Questions
    stateless: StatelessReader
    view: MemoryView


def session_work(
    model: Model, store: SessionStore, config: ServiceConfig, metrics: EncoderMetrics
) -> SessionWork:
    """Put together what a model does with the sessions of a store, which is open."""
    hot = HotStates(config.sessions.hot_bytes, metrics)
    appender = Appender(
        store,
        model.reader,
        model.info,
        hot,
        retention=_retention(config),
        observer=metrics,
    )
    index = ChunkIndex(store, config.sessions.index_chunks, config.sessions.index_bytes)
    search = ChunkSearch(store, index, model.info.dimensions, config.limits.answer_numbers)
    metrics.hot_state_bytes(lambda: float(hot.nbytes))
    metrics.index_bytes(lambda: float(index.nbytes))
    metrics.session_state_bytes(appender.state_bytes)
    return SessionWork(
        appender=appender,
        revisits=Revisits(appender.tools),
        questions=Questions(model.loaded, model.engine, appender.tools, model.recaller, search),
        stateless=StatelessReader(model.reader, model.info),
        view=MemoryView(model.loaded.encoder, appender.tools),
    )


def _retention(config: ServiceConfig) -> Retention:
    sessions = config.sessions
    return Retention(
        answers=sessions.kept_answers,
        index_chunks=sessions.index_chunks,
        snapshots=sessions.snapshots,
        snapshot_every=sessions.snapshot_every,
    )
