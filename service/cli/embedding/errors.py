"""What can end a run of `longstream embed` on this side of the network."""


class EmbedError(Exception):
    """Base of the errors; the message is one line and says what to do."""


class SourceError(EmbedError):
    """The text cannot be read."""


class JournalError(EmbedError):
    """The journal is damaged or in use."""


class ServiceAway(EmbedError):
    """No service answers, and none has since the run began."""


class RunError(EmbedError):
    """Source, journal and session do not belong together."""
