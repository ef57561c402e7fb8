"""Many cases in one test: what a test of its own costs is paid once, and a failure says which case it was."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable
from typing import Any


def batched(names: str, values: Iterable[Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Run a test for each of the values, as `pytest.mark.parametrize` does, but in a single test.

    For cases that are quick and leave no trace: they share the test's fixtures, and the first that fails ends it.
    """
    arguments, cases = names.replace(",", " ").split(), list(values)
    assert cases

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(test)
        def each(**fixtures: Any) -> None:
            for case in cases:
                given = dict(zip(arguments, case if len(arguments) > 1 else (case,), strict=True))
                try:
                    test(**fixtures, **given)
                except Exception as error:
                    shown = (f"{name} = {value}"[:100] for name, value in given.items())
                    error.add_note(f"in the case {', '.join(shown)}")
                    raise

        signature = inspect.signature(test)
        others = [one for name, one in signature.parameters.items() if name not in arguments]
        each.__signature__ = signature.replace(parameters=others)  # type: ignore[attr-defined]  # pytest reads it
        return each

    return decorate
