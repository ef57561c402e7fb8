"""Seeded damage to the bytes of a file."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence

_BYTES = (0, 1, 9, 10, 11, 12, 13, 32, 34, 35, 44, 45, 46, 58, 59, 92, 95, 127, 128, 0x80, 0xC3, 0xE2, 0xFF)
_NUMBERS = (0, 1, -1, 2, 3, 127, 255, 256, 2**15, 2**16, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**62, 2**63 - 1, -(2**31))
_TEXTS = (
    *(
        b"0",
        b"1",
        b"-1",
        b"1e999",
        b"-1e-400",
        b"nan",
        b"inf",
        b"1_0",
        b"1,5",
        b"1.5e3",
        b"99999999999999999999",
        b"0x10",
    ),
    *(
        b"\xef\xbb\xbf",
        b"\r\n",
        b"\r",
        b"\n\n",
        b"\t",
        b"\t ",
        b"  ",
        b"\x0b",
        b"\x0c",
        b"\x85",
        b"\xc2\x85",
        b"\xc2\xa0",
    ),
    *(
        b'"',
        b'""',
        b'","',
        b"#",
        b"# x\n",
        b",",
        b";",
        b"|",
        b":",
        b"{",
        b"}",
        b"[",
        b"]",
        b"null",
        b"true",
        b"\\ud800",
    ),
    *("é".encode(), "e\u0301".encode(), "日本".encode(), b"\xed\xa0\x80", "\u202e".encode(), b"\x1b[31m", b"--", b"- "),
)
_NUMBER = re.compile(rb"-?\d+(?:\.\d+)?")


def _flip(raw: bytearray, rng: random.Random, _other: bytes) -> None:
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        raw[rng.randrange(len(raw))] ^= 1 << rng.randrange(8)


def _put(raw: bytearray, rng: random.Random, _other: bytes) -> None:
    raw[rng.randrange(len(raw))] = rng.choice(_BYTES)


def _insert(raw: bytearray, rng: random.Random, _other: bytes) -> None:
    at = rng.randrange(len(raw) + 1)
    raw[at:at] = rng.choice((rng.choice(_TEXTS), rng.randbytes(rng.randrange(1, 9)), bytes(rng.randrange(1, 40))))


def _delete(raw: bytearray, rng: random.Random, _other: bytes) -> None:
    at = rng.randrange(len(raw))
    del raw[at : at + rng.choice((1, 1, 2, 4, 8, rng.randrange(1, len(raw) + 1)))]


def _cut(raw: bytearray, rng: random.Random, _other: bytes) -> None:
    del raw[rng.randrange(len(raw)) :]


def _repeat(raw: bytearray, rng: random.Random, _other: bytes) -> None:
    at, size = rng.randrange(len(raw)), rng.randrange(1, 60)
    raw[at:at] = raw[at : at + size] * rng.choice((1, 1, 2, 20))


def _splice(raw: bytearray, rng: random.Random, other: bytes) -> None:
    start, end = sorted(rng.randrange(len(other) + 1) for _ in range(2))
    at = rng.randrange(len(raw) + 1)
    raw[at : at + rng.choice((0, end - start))] = other[start:end]


def _integer(raw: bytearray, rng: random.Random, _other: bytes) -> None:
    size = rng.choice((1, 2, 4, 4, 8))
    at = rng.randrange(max(1, len(raw) - size + 1))
    value = rng.choice((*_NUMBERS, len(raw), rng.getrandbits(31))) % (1 << 8 * size)
    raw[at : at + size] = value.to_bytes(size, rng.choice(("little", "little", "big")))


def _number(raw: bytearray, rng: random.Random, _other: bytes) -> None:
    found = list(_NUMBER.finditer(raw))
    if found:
        one = rng.choice(found)
        raw[one.start() : one.end()] = rng.choice((rng.choice(_TEXTS[:12]), b"%d" % rng.choice(_NUMBERS)))


def _lines(raw: bytearray, rng: random.Random, other: bytes) -> None:
    lines = bytes(raw).split(b"\n")
    at, to = rng.randrange(len(lines)), rng.randrange(len(lines))
    match rng.randrange(7):
        case 0:
            del lines[at]
        case 1:
            lines.insert(to, lines[at])
        case 2:
            lines[at], lines[to] = lines[to], lines[at]
        case 3:
            lines[at : at + 2] = [b"".join(lines[at : at + 2])]
        case 4:
            lines.insert(at, rng.choice(other.split(b"\n")))
        case 5:
            pieces = lines[at].split(rng.choice((b" ", b"\t", b",")))
            lines[at] = rng.choice((b"\t", b",", b" ", b"  ", b";")).join(pieces[:: rng.choice((1, 1, -1))])
        case 6:
            lines[at] = (
                rng.choice((b" ", b"\t", b"    ", b"#")) + lines[at] + rng.choice((b"", b" ", b"\t", b",", b"\r"))
            )
    raw[:] = b"\n".join(lines)


_KINDS: Sequence[Callable[[bytearray, random.Random, bytes], None]] = (
    *(_flip, _put, _insert, _delete, _cut, _repeat, _splice),
    *(_integer, _number, _number, _lines, _lines, _lines),
)


def mutated(raw: bytes, other: bytes, rng: random.Random) -> bytes:
    """Return bytes with one to three kinds of damage; `other` is what pieces are taken from."""
    content = bytearray(raw)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        if content:
            rng.choice(_KINDS)(content, rng, other)
    return bytes(content)
