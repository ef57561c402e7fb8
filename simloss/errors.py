"""What the loss raises for arguments that it can't take, and what it warns of."""

__all__ = ["ArgumentError", "DtypeError", "SimilarityWarning"]


class ArgumentError(ValueError, RuntimeError):
    """A value or a shape that has no meaning here. torch raises RuntimeError for most of them."""


class DtypeError(TypeError, RuntimeError):
    """A dtype, or a kind of object, that is not what it has to be. torch raises RuntimeError for most of them."""


class SimilarityWarning(UserWarning):
    """A use of a similarity that is likely to spoil a training."""
