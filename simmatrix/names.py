"""The names of classes: what can be one, the one spelling of each, their order, and how very many of them are kept.

The names of a million classes are kept in one array of bytes: they take their characters, not a million objects.
"""

from __future__ import annotations

import unicodedata
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import pairwise
from numbers import Integral
from typing import Any, SupportsIndex, TypeAlias, TypeGuard, overload

import numpy as np

from simmatrix.errors import ClassOrderError
from simmatrix.shapes import Int, UInt8
from simmatrix.text import is_unsafe

Names: TypeAlias = "Iterable[str] | Mapping[Any, Any]"
"""Names of classes in label order, or a mapping between them and their indices."""

MANY = 100_000
"""So many names of classes, and more, are kept in an array."""

_BLOCK = 1 << 14
_DELETE = 0x7F
_HALVES = np.arange(128, 192)


def is_name(name: object) -> TypeGuard[str]:
    r"""Tell whether something can be the name of a class: text that is not blank and safe to show.

    Examples
    --------
    >>> is_name("T-shirt/top"), is_name(" "), is_name("a\nb"), is_name(3)
    (True, False, False, False)
    """
    return isinstance(name, str) and bool(name.strip()) and (name.isprintable() or not any(map(is_unsafe, name)))


def are_names(names: Sequence[str]) -> bool:
    """Tell whether texts, in an array or not, can be the names of classes: two or more different names."""
    if isinstance(names, TextArray):
        return len(names) >= 2 and names.nameless() is None and names.repeated() is None
    return len(set(names)) == len(names) >= 2 and all(map(is_name, names))


def composed(text: str) -> str:
    """Return the one spelling of a name: accented letters as one character each (NFC), however they were typed."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def all_composed(texts: Iterable[str]) -> tuple[str, ...]:
    """Return `composed` of each text."""
    return tuple(map(composed, texts))


def names_in_order(classes: Names) -> Sequence[str]:
    """Return the names of classes in label order, each in its one spelling (NFC): a tuple, of many a `TextArray`.

    A sequence of names is an order. A mapping is one if its keys or its values are the indices 0 to C - 1, as in
    ``id2label`` and ``class_to_idx``, and is read by index. A set is in no order, and one text is no list of names.
    Raises `ClassOrderError` if there is no order, or what stands in it is no name.

    Examples
    --------
    >>> names_in_order({"tulip": 1, "rose": 0})
    ('rose', 'tulip')
    """
    if isinstance(classes, str):
        raise ClassOrderError(
            f"the classes are one text, {classes!r}; give a list of names (simmatrix.read_classes reads files)"
        )
    if isinstance(classes, set | frozenset):
        raise ClassOrderError("the classes are a set, which has no order; give a list of their names in label order")
    if not isinstance(classes, Iterable):
        raise ClassOrderError(f"the classes are {classes!r:.60}; give a list of their names in label order")
    if isinstance(classes, TextArray) and classes.are_composed():
        return classes
    found = tuple(_by_index(classes) if isinstance(classes, Mapping) else classes)
    for position, name in enumerate(found):
        if not isinstance(name, str):
            remedy = (
                "give the classes by name (for torchvision's ImageNet these are its wnids)"
                if isinstance(name, tuple)
                else f"give the classes by name, as text, such as {str(name)!r}"
            )
            raise ClassOrderError(
                f"class {position} (counted from 0) is {name!r}, of type {type(name).__name__}; {remedy}"
            )
    # Plain text, also where the names are an array's scalars or members of an enumeration.
    return kept(map(str.__str__, found))


def _by_index(classes: Mapping[Any, Any]) -> list[Any]:
    indices = range(len(classes))
    by_key = {int(key) if isinstance(key, str) and key.isdecimal() else key: name for key, name in classes.items()}
    by_value: dict[Any, Any] = {index: name for name, index in classes.items() if isinstance(index, Integral)}
    found = [[way[index] for index in indices] for way in (by_key, by_value) if way.keys() == set(indices)]
    # Names may be digits, as those of MNIST: where both could be the indices, the names are the ones that are text.
    for names in sorted(found, key=lambda names: not all(isinstance(name, str) for name in names)):
        return names
    raise ClassOrderError(
        f"the classes are a mapping, and neither its keys nor its values are the indices 0 to {len(classes) - 1}; give "
        "a list of names in label order"
    )


def kept(texts: Iterable[str]) -> Sequence[str]:
    """Return texts as they are kept, each in its one spelling (NFC): in a tuple, many in an array."""
    composed_texts = all_composed(texts)
    if len(composed_texts) < MANY:
        return composed_texts
    try:
        return TextArray.of(composed_texts)
    except UnicodeEncodeError:
        # Half of a character pair can't be encoded; whoever checks the names refuses it.
        return composed_texts


class TextArray(Sequence[str]):
    """A read-only sequence of texts: text i is the UTF-8 in `data[offsets[i]:offsets[i + 1]]`.

    It compares and iterates as a tuple of the texts does, and a slice of it is such a tuple. Where a text stands is
    found by hashes of eight bytes a text, which are made when they are first needed. Raises ValueError if the offsets
    do not divide the bytes, or a text is no UTF-8.

    Examples
    --------
    >>> names = TextArray.of(["rose", "großer Baum"])
    >>> names[1], names[:1], names.index("rose"), "tulip" in names
    ('großer Baum', ('rose',), 0, False)
    """

    def __init__(self, data: UInt8[np.ndarray, " B"], offsets: Int[np.ndarray, " C1"]) -> None:
        ends_well = len(offsets) > 0 and offsets[0] == 0 and offsets[-1] == len(data)
        if not ends_well or (np.diff(offsets) < 0).any():
            raise ValueError("the offsets do not divide the bytes")
        self.data, self.offsets = data, offsets
        self._bytes = data.data if len(data) else memoryview(b"")
        for block, ends in self._blocks():
            block.decode()
            # No text starts in the middle of a character.
            starts = ends[:-1][np.diff(ends) > 0]
            if not block.isascii() and np.isin(np.frombuffer(block, np.uint8)[starts], _HALVES).any():
                raise ValueError("a text starts in the middle of a character")

    def _blocks(self) -> Iterator[tuple[bytes, Int[np.ndarray, " n1"]]]:
        """Yield the bytes of some texts at a time, and where in them each text starts and the last one ends."""
        for start in range(0, len(self), _BLOCK):
            ends = self.offsets[start : start + _BLOCK + 1]
            yield bytes(self._bytes[ends[0] : ends[-1]]), ends - ends[0]

    @classmethod
    def of(cls, texts: Iterable[str]) -> TextArray:
        """Return the array of texts, which are read once."""
        data, ends = bytearray(), array("q", [0])
        for text in texts:
            data += text.encode()
            ends.append(len(data))
        found = np.frombuffer(data, np.uint8) if data else np.empty(0, np.uint8)
        offsets = np.frombuffer(ends, np.int64)
        found.flags.writeable = offsets.flags.writeable = False
        return cls(found, offsets)

    def __reduce__(self) -> tuple[Any, ...]:
        # Half as long as the offsets, and none is as long as 4 GB.
        return _of_lengths, (np.array(self.data), np.diff(self.offsets).astype(np.uint32))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __repr__(self) -> str:
        return f"TextArray({len(self)} texts)"

    @overload
    def __getitem__(self, index: SupportsIndex) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[str, ...]: ...
    def __getitem__(self, index: SupportsIndex | slice) -> str | tuple[str, ...]:
        if isinstance(index, slice):
            return tuple([self[at] for at in range(*index.indices(len(self)))])
        at = int(index)
        if not -len(self) <= at < len(self):
            raise IndexError(f"text {at} of {len(self)}")
        return str(self._raw(at % len(self)), "utf-8")

    def _raw(self, at: int) -> memoryview:
        return self._bytes[self.offsets[at] : self.offsets[at + 1]]

    def __iter__(self) -> Iterator[str]:
        for block in self._raws():
            yield from map(bytes.decode, block)

    def _raws(self) -> Iterator[list[bytes]]:
        """Go through the texts, block by block, as bytes."""
        for block, ends in self._blocks():
            yield [block[first:last] for first, last in pairwise(ends.tolist())]

    def __eq__(self, other: object) -> bool:
        if isinstance(other, TextArray):
            return np.array_equal(self.offsets, other.offsets) and np.array_equal(self.data, other.data)
        if isinstance(other, tuple | list):
            return len(self) == len(other) and all(map(str.__eq__, self, other))
        return NotImplemented

    def __hash__(self) -> int:
        return hash((len(self), self[0] if len(self) else ""))

    @cached_property
    def _hashes(self) -> tuple[Int[np.ndarray, " C"], Int[np.ndarray, " C"]]:
        """The hash of each text, in ascending order, and which text it is of."""
        hashes = np.empty(len(self), np.int64)
        for number, block in enumerate(self._raws()):
            hashes[number * _BLOCK :][: len(block)] = list(map(hash, block))
        order = np.argsort(hashes, kind="stable")
        return hashes[order], order.astype(np.int32 if len(self) < 1 << 31 else np.int64)

    def find(self, text: str) -> int:
        """Return where a text stands first, -1 if nowhere."""
        raw = text.encode("utf-8", "surrogatepass")
        hashes, order = self._hashes
        first, last = np.searchsorted(hashes, hash(raw), "left"), np.searchsorted(hashes, hash(raw), "right")
        return next((at for at in order[first:last].tolist() if self._raw(at) == raw), -1)

    def __contains__(self, text: object) -> bool:
        return isinstance(text, str) and self.find(text) >= 0

    def index(self, text: str, start: int = 0, stop: int | None = None) -> int:
        """Return where a text stands first. Raises ValueError if it is not there."""
        at = self.find(text)
        if not max(start, 0) <= at < (len(self) if stop is None else stop):
            raise ValueError(f"{text!r:.80} is not there")
        return at

    def repeated(self) -> tuple[int, int] | None:
        """Return where the first text that repeats an earlier one stands, and where that stands; None if none does."""
        hashes, order = self._hashes
        found: list[tuple[int, int]] = []
        for at in np.flatnonzero(hashes[1:] == hashes[:-1]).tolist():
            # Of texts with one hash, which are the same or a coincidence, the earlier ones stand first.
            first = int(np.searchsorted(hashes, hashes[at], "left"))
            later = int(order[at + 1])
            earlier = [one for one in order[first : at + 1].tolist() if self._raw(one) == self._raw(later)]
            found += [(later, earlier[0])] if earlier else []
        return min(found, default=None)

    def nameless(self) -> int | None:
        """Return which of the texts is the first that can't be a name, None if all can."""
        return next((at for at, text in self._unlike(_are_plain_names) if not is_name(text)), None)

    def are_composed(self) -> bool:
        """Tell whether each text is in its one spelling (NFC)."""
        return all(composed(text) == text for _at, text in self._unlike(lambda block, _starts: block.isascii()))

    def _unlike(self, is_simple: Callable[[bytes, Int[np.ndarray, " n"]], bool]) -> Iterator[tuple[int, str]]:
        """Go through the texts of all blocks but the simple ones, whose bytes tell enough at one look."""
        for number, (block, ends) in enumerate(self._blocks()):
            if not is_simple(block, ends[:-1]):
                start = number * _BLOCK
                yield from ((at, self[at]) for at in range(start, start + len(ends) - 1))


def _of_lengths(data: UInt8[np.ndarray, " B"], lengths: np.ndarray) -> TextArray:
    data.flags.writeable = False
    return TextArray(data, np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]))


def _are_plain_names(block: bytes, starts: Int[np.ndarray, " n"]) -> bool:
    """Tell whether all texts of a block are ASCII without control characters, and none is blank."""
    signs = np.frombuffer(block, np.uint8)
    is_empty = len(starts) == 0 or starts[-1] == len(block) or bool((np.diff(starts) == 0).any())
    if is_empty or not block.isascii() or signs.min() < ord(" ") or (signs == _DELETE).any():
        return False
    return bool(np.logical_or.reduceat(signs != ord(" "), starts).all())


class _Places(Mapping[str, int]):
    """Where each text of an array stands, as a mapping."""

    def __init__(self, texts: TextArray) -> None:
        self.texts = texts

    def __getitem__(self, text: str) -> int:
        if (at := self.texts.find(text)) < 0:
            raise KeyError(text)
        return at

    def __contains__(self, text: object) -> bool:
        return text in self.texts

    def __iter__(self) -> Iterator[str]:
        return iter(self.texts)

    def __len__(self) -> int:
        return len(self.texts)


def index_of(names: Sequence[str]) -> Mapping[str, int]:
    """Return the place of each name: of names in an array by their hashes."""
    return _Places(names) if isinstance(names, TextArray) else {name: at for at, name in enumerate(names)}
