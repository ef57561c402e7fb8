"""Type checkers for jaxtyping's import hook: one of all annotations, and one that looks at shapes and dtypes alone.

simloss checks the kinds of its arguments itself, and tests of these checks pass wrong kinds: so these are let through.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args

import jaxtyping
from beartype import beartype

_made: dict[object, Callable[..., Any]] = {}


def checked(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return what checks a call of the function; of a function inside another it is made once.

    jaxtyping hands over no function of the package but an empty one with its annotations. It does so each time that the
    inner function is defined, and beartype takes milliseconds for it.
    """
    if "<locals>" not in function.__qualname__:
        return beartype(function)
    # Each Float[...] is a type of its own, also where it says the same.
    key = (function.__module__, function.__qualname__, function.__code__.co_varnames, repr(function.__annotations__))
    if key not in _made:
        _made[key] = beartype(function)
    return _made[key]


def only_shapes(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function with checks of those arguments and results whose annotation names a shape."""
    named = {name: hint if _names_shape(hint) else Any for name, hint in function.__annotations__.items()}
    if all(hint is Any for hint in named.values()):
        return function
    function.__annotations__ = named
    return checked(function)


def _names_shape(hint: object) -> bool:
    is_shape = isinstance(hint, type) and issubclass(hint, jaxtyping.AbstractArray)
    return is_shape or any(map(_names_shape, get_args(hint)))
