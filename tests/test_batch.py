"""Cases in a batch are all run, and the one that fails is named."""

import inspect

import pytest

from tests.batch import batched


def test_the_case_that_fails_is_named() -> None:
    ran = []

    @batched("one", [1, 3, 5])
    @batched("other, word", [(2, "a"), (4, "b")])
    def compare(one: int, other: int, word: str, limit: int) -> None:
        ran.append((one, other, word))
        assert one + other < limit

    assert list(inspect.signature(compare).parameters) == ["limit"]
    with pytest.raises(AssertionError) as caught:
        compare(limit=7)
    assert ran == [(1, 2, "a"), (1, 4, "b"), (3, 2, "a"), (3, 4, "b")]
    assert caught.value.__notes__ == ["in the case other = 4, word = b", "in the case one = 3"]
    compare(limit=10)
    assert len(ran) == 4 + 6
