"""Exact recall: numbers that a text asks to be remembered, written to a small state and read back by name.

A pointer head on a frozen encoder. A learned gate decides which numbers of a segment are written, learned weights
decide which tokens around a number are its address, and a ridge memory of constant size holds what was written.
"""

from models.recall.checkpoint import (
    RecallHeader,
    load_recall,
    packaged_recall,
    read_recall_header,
    save_recall,
)
from models.recall.head import RecallAnswer, RecallHead, Records
from models.recall.memory import CROSS, GRAM, Parts
from models.recall.numbers import NumberPieces, NumberRun
from models.recall.options import RecallOptions

__all__ = [
    "CROSS",
    "GRAM",
    "NumberPieces",
    "NumberRun",
    "Parts",
    "RecallAnswer",
    "RecallHead",
    "RecallHeader",
    "RecallOptions",
    "Records",
    "load_recall",
    "packaged_recall",
    "read_recall_header",
    "save_recall",
]
