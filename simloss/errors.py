"""What the loss raises for arguments that it can't take, and what it warns of."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import torch

# A warning that points here helps nobody.
_NOT_THE_USERS = tuple(f"{Path(file).parent}/" for file in (__file__, torch.__file__))


class ArgumentError(ValueError, RuntimeError):
    """A value or a shape that has no meaning here. torch raises RuntimeError for most of them."""


class DtypeError(TypeError, RuntimeError):
    """A dtype, or a kind of object, that is not what it has to be. torch raises RuntimeError for most of them."""


class SimilarityWarning(UserWarning):
    """A use of a similarity that is likely to spoil a training."""


def warn_user(message: str, category: type[Warning]) -> None:
    """Warn of the line in the user's code that led here, however many of ours and torch's are between."""
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_NOT_THE_USERS):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)
