"""Type checkers for jaxtyping's import hook: one of all annotations, and one that looks at shapes and dtypes alone.

simloss checks the kinds of its arguments itself, and tests of these checks pass wrong kinds: so these are let through.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from types import FunctionType, SimpleNamespace
from typing import Any, ParamSpecArgs, ParamSpecKwargs, get_args, get_type_hints

import jaxtyping
from beartype import beartype

_made: dict[object, Callable[..., Any]] = {}
_jaxtyped = jaxtyping.jaxtyped


def jaxtyped(*, typechecker: Callable[..., Any]) -> Callable[..., Any]:
    """Do what `jaxtyping.jaxtyped` does, but leave functions that name no shape to the type checker alone.

    To bind and remember the shapes of a call takes some 20 microseconds, and most calls have none.
    """

    def decorated(one: Any) -> Any:
        if isinstance(one, FunctionType) and "<locals>" not in one.__qualname__:
            written, hints = one.__annotations__, _hints(one)
            if not any(map(_names_shape, hints.values())):
                one.__annotations__ = hints
                found = typechecker(one)
                one.__annotations__ = written
                return one if found is one else _unless_disabled(found, one)
        return _jaxtyped(one, typechecker=typechecker)

    return decorated


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


def _unless_disabled(found: Callable[..., Any], function: FunctionType) -> Callable[..., Any]:
    """Return the checked function; without checks while `jaxtyping.config` says so."""

    @wraps(function)
    def called(*arguments: Any, **named: Any) -> Any:
        return (function if jaxtyping.config.jaxtyping_disable else found)(*arguments, **named)

    return called


def _hints(function: FunctionType) -> dict[str, Any]:
    """Return the annotations of a function that can be evaluated where it is defined, as jaxtyping does."""
    hints = {}
    for name, written in function.__annotations__.items():
        alone = SimpleNamespace(__annotations__={name: written})
        with suppress(Exception):  # as jaxtyping does: of names that are imported for type checkers alone, for one
            hints[name] = get_type_hints(alone, function.__globals__, include_extras=True)[name]
    # Older beartype does not know those of a ParamSpec.
    return {name: hint for name, hint in hints.items() if not isinstance(hint, ParamSpecArgs | ParamSpecKwargs)}


def _names_shape(hint: object) -> bool:
    is_shape = isinstance(hint, type) and issubclass(hint, jaxtyping.AbstractArray)
    return is_shape or any(map(_names_shape, get_args(hint)))
