"""One row of the evaluation: an encoder under a name."""

from dataclasses import dataclass

from models.encoder import Encoder
from models.loading import LoadedEncoder
from models.tokenizer import Tokenizer


@dataclass(frozen=True, slots=True)
class Variant:
    """An encoder to be evaluated.

    Attributes:
        id: Its name in the report.
        attention: Key of `variants()`.
        base: Name of the checkpoint.
        fingerprint: Of configuration, tokenizer and weights.
        encoder: In evaluation mode.
        tokenizer: Cuts texts into its segments.
        adapter: File name of what it adds to the checkpoint; None if it adds nothing.
        adapter_bytes: Size of that file.
    """

    id: str
    attention: str
    base: str
    fingerprint: str
    encoder: Encoder
    tokenizer: Tokenizer
    adapter: str | None = None
    adapter_bytes: int = 0

    @classmethod
    def of(cls, id_: str, loaded: LoadedEncoder) -> "Variant":
        """Name a loaded encoder."""
        return cls(
            id=id_,
            attention=loaded.attention,
            base=loaded.base,
            fingerprint=loaded.fingerprint,
            encoder=loaded.encoder,
            tokenizer=loaded.tokenizer,
            adapter=loaded.adapter,
            adapter_bytes=loaded.adapter_bytes,
        )

    @property
    def memory_bytes(self) -> int:
        """Size of a session's memory; 0 for a variant without one."""
        return self.encoder.empty_memory().nbytes if self.encoder.has_memory else 0
