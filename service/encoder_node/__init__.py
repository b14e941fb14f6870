"""One served model in one process: weights, engine, sessions and metrics, put together."""

from service.encoder_node.failed import FailedNode
from service.encoder_node.node import EncoderNode

__all__ = ["EncoderNode", "FailedNode"]
