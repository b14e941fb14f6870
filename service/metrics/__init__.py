"""Measuring: one catalogue, a private registry per process, a merger of many processes."""

from service.metrics.encoder import EncoderMetrics
from service.metrics.gateway import GatewayMetrics
from service.metrics.merge import Merger
from service.metrics.process import ProcessMetrics

__all__ = ["EncoderMetrics", "GatewayMetrics", "Merger", "ProcessMetrics"]
