"""A type checker for jaxtyping's import hook that looks at shapes and dtypes alone.

simloss checks the kinds of its arguments itself, and tests of these checks pass wrong kinds: so these are let through.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args

import jaxtyping
from beartype import beartype


def only_shapes(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function with checks of those arguments and results whose annotation names a shape."""
    named = {name: hint if _names_shape(hint) else Any for name, hint in function.__annotations__.items()}
    if all(hint is Any for hint in named.values()):
        return function
    function.__annotations__ = named
    return beartype(function)


def _names_shape(hint: object) -> bool:
    is_shape = isinstance(hint, type) and issubclass(hint, jaxtyping.AbstractArray)
    return is_shape or any(map(_names_shape, get_args(hint)))
