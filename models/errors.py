"""What can go wrong with a model, typed.

ModelError
├── WeightsError   files, names or shapes do not fit
├── PrecisionError the device cannot compute in the precision asked for
├── TextError      a text cannot be read at all
└── FitError       a training run cannot begin or go on
"""


class ModelError(Exception):
    """Base of the errors of this package."""


class WeightsError(ModelError):
    """A checkpoint does not fit the architecture; the message names every tensor or file at fault."""


class PrecisionError(ModelError):
    """A precision that the device has no instructions for; the message says what to use instead."""


class TextError(ModelError):
    """A text that is not Unicode scalar values, e.g. an unpaired surrogate."""


class FitError(ModelError):
    """A training run cannot begin or go on as asked; the message says what to change."""
