"""A slow reader of each format, written from its specification; nothing here imports what is tested.

A reader returns the readings that are right. There is more than one where the specification leaves a choice, such as
whether the first row of a table is its header. `Refused` says that there is none.
"""

from __future__ import annotations

import ast
import csv
import gzip
import hashlib
import io
import json
import math
import re
import struct
import unicodedata
import zipfile
from collections.abc import Iterator
from itertools import combinations, pairwise
from typing import Any, NoReturn

import numpy as np


class Refused(Exception):  # noqa: N818 - it is a verdict
    """The bytes are not of the format, or say what may not be said."""


def need(condition: object, what: str) -> None:
    if not condition:
        raise Refused(what)


def strict_json(text: str) -> Any:
    def no_constant(name: str) -> NoReturn:
        raise Refused(name)

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        need(len(dict(pairs)) == len(pairs), "a key twice")
        return dict(pairs)

    try:
        return json.loads(text, parse_constant=no_constant, object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        raise Refused(str(error)) from None


def utf8(raw: bytes) -> str:
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Refused(str(error)) from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def checked(name: str) -> str:
    """Return a name that is not blank, without control characters, surrogates or turns of direction, composed."""
    need(name.strip() and isinstance(name, str), "no name")
    need(not any(unicodedata.category(sign) in ("Cc", "Cs") for sign in name), "a control character")
    need(not set(name) & set("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"), "direction")
    return unicodedata.normalize("NFC", name)


def class_names(names: list[str]) -> list[str]:
    found = [checked(name) for name in names]
    need(len(set(found)) == len(found) >= 2, "names twice, or too few")
    return found


# --- safetensors ------------------------------------------------------------------------------------------------------

_SIZES = {"BOOL": 1, "U8": 1, "I8": 1, "F8_E4M3": 1, "F8_E5M2": 1, "I16": 2, "U16": 2, "F16": 2, "BF16": 2}
_SIZES |= {"I32": 4, "U32": 4, "F32": 4, "I64": 8, "U64": 8, "F64": 8}
_FLOATS = {"F16": "<f2", "F32": "<f4", "F64": "<f8"}


def safetensors(raw: bytes) -> tuple[dict[str, str], dict[str, tuple[str, list[int], bytes]]]:
    need(len(raw) >= 8, "no header")
    (length,) = struct.unpack("<Q", raw[:8])
    need(length <= len(raw) - 8, "header too long")
    try:
        header = strict_json(raw[8 : 8 + length].decode())
    except UnicodeDecodeError as error:
        raise Refused(str(error)) from None
    need(isinstance(header, dict), "no object")
    metadata = header.pop("__metadata__", {})
    need(isinstance(metadata, dict) and all(isinstance(text, str) for text in metadata.values()), "metadata")
    tensors = {}
    body = raw[8 + length :]
    taken = []
    for name, tensor in header.items():
        try:
            kind, shape, (start, end) = tensor["dtype"], tensor["shape"], tensor["data_offsets"]
        except (KeyError, TypeError, ValueError):
            raise Refused("a tensor") from None
        need(kind in _SIZES and isinstance(shape, list), "kind or shape")
        need(all(type(one) is int and one >= 0 for one in (*shape, start, end)), "a count")
        need(end - start == _SIZES[kind] * math.prod(shape) and end <= len(body), "size")
        taken.append((start, end))
        tensors[name] = (kind, shape, body[start:end])
    at = 0
    for start, end in sorted(taken):
        need(start == at, "a hole")
        at = end
    need(at == len(body), "bytes behind the tensors")
    return metadata, tensors


def matrix(raw: bytes) -> list[Any]:
    """docs/file-format.md."""
    metadata, tensors = safetensors(raw)
    need(metadata.get("format") == "simmatrix" and metadata.get("kind") == "similarity", "format")
    need(metadata.get("format_version") in ("1", "2"), "version")
    classes = strict_json(metadata.get("classes", ""))
    need(isinstance(classes, list) and all(isinstance(name, str) for name in classes), "classes")
    digest = hashlib.sha256(json.dumps(classes, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "ignore"))
    need(digest.hexdigest() == metadata.get("classes_sha256"), "checksum of the classes")
    names = class_names(classes)
    count = len(names)

    def numbers(name: str, kind: str, code: str, shape: list[int]) -> list[Any]:
        need(name in tensors and tensors[name][:2] == (kind, shape), name)
        values = struct.unpack(f"<{math.prod(shape)}{code}", tensors[name][2])
        need(all(math.isfinite(value) for value in values), "not finite")
        return list(values)

    values: list[list[float]] = [[0.0] * count for _ in range(count)]
    if "similarity" in tensors:
        flat = numbers("similarity", "F32", "f", [count, count])
        values = [flat[row * count : (row + 1) * count] for row in range(count)]
    elif "diagonals" in tensors:
        need(metadata["format_version"] == "2", "version")
        diagonals = numbers("diagonals", "F32", "f", [2 * count - 1])
        values = [[diagonals[count - 1 + column - row] for column in range(count)] for row in range(count)]
    else:
        need("values" in tensors and len(tensors["values"][1]) == 1, "values")
        entries = tensors["values"][1][0]
        starts = numbers("crow_indices", "I64", "q", [count + 1])
        columns = numbers("col_indices", "I32", "i", [entries])
        stored = numbers("values", "F32", "f", [entries])
        need(starts[0] == 0 and starts[-1] == entries and starts == sorted(starts), "starts of rows")
        for row in range(count):
            here = columns[starts[row] : starts[row + 1]]
            need(here == sorted(set(here)) and all(0 <= column < count for column in here), "columns")
            for column, value in zip(here, stored[starts[row] : starts[row + 1]], strict=True):
                values[row][column] = value
    need(all(0 <= value <= 1 for row in values for value in row), "off [0, 1]")
    need(all(values[index][index] == 1 for index in range(count)), "the diagonal")
    return [(names, np.array(values, np.float32))]


def index_of_shards(raw: bytes, beside: dict[str, bytes]) -> list[Any]:
    """docs/file-format.md, version 3: an index, and the files beside it."""
    try:
        content = strict_json(raw.decode())
    except UnicodeDecodeError as error:
        raise Refused(str(error)) from None
    need(isinstance(content, dict) and isinstance(content.get("metadata"), dict), "no index")
    metadata = content["metadata"]
    need(all(isinstance(text, str) for text in metadata.values()), "no texts")
    head = {"format": "simmatrix", "kind": "similarity", "format_version": "3"}
    need({name: metadata.get(name) for name in head} == head, "format")
    count = int(metadata.get("classes", "")) if metadata.get("classes", "").isdecimal() else 0
    file, digest = strict_json(metadata.get("names", ""))

    def tensors_of(name: Any, sha256: Any) -> dict[str, tuple[str, list[int], bytes]]:
        need(name in beside and hashlib.sha256(beside[name]).hexdigest() == sha256, "not the file that is listed")
        return safetensors(beside[name])[1]

    def numbers(tensors: dict[str, tuple[str, list[int], bytes]], name: str, kind: str, code: str) -> list[Any]:
        need(name in tensors and tensors[name][0] == kind and len(tensors[name][1]) == 1, name)
        return list(struct.unpack(f"<{tensors[name][1][0]}{code}", tensors[name][2]))

    told = tensors_of(file, digest)
    ends = numbers(told, "class_offsets", "I64", "q")
    need(len(ends) == count + 1 and ends[0] == 0 and ends == sorted(ends), "offsets")
    text = told.get("class_names", ("", [], b""))[2]
    need(ends[-1] == len(text), "offsets")
    try:
        names = class_names([text[a:b].decode() for a, b in pairwise(ends)])
    except UnicodeDecodeError as error:
        raise Refused(str(error)) from None
    values = np.zeros((count, count), np.float32)
    row = 0
    for number, (name, first, last, entries, sha256) in enumerate(strict_json(metadata.get("shards", "")), 1):
        part = tensors_of(name, sha256)
        need(first == row < last <= count, "rows")
        starts = numbers(part, f"crow_indices.{number:05}", "I64", "q")
        columns = numbers(part, f"col_indices.{number:05}", "I32", "i")
        stored = numbers(part, f"values.{number:05}", "F32", "f")
        need(len(part) == 3 and len(starts) == last - first + 1 and starts == sorted(starts), "starts")
        need(starts[0] == 0 and starts[-1] == len(columns) == len(stored) == entries, "entries")
        for at in range(last - first):
            here = columns[starts[at] : starts[at + 1]]
            need(here == sorted(set(here)) and all(0 <= column < count for column in here), "columns")
            values[first + at, here] = stored[starts[at] : starts[at + 1]]
        need(all(0 < value <= 1 for value in stored), "off (0, 1]")
        row = last
    need(row == count and (values.diagonal() == 1).all(), "rows, or the diagonal")
    return [(names, values)]


# --- word vectors -----------------------------------------------------------------------------------------------------

WORDS = ("rose", "tulip", "Käfer", "日本", "ice-cream", "windows 10", "windows", "a", "ox", "7", "-", "ice cream", "x")
_BLANKS = " \t\v\f\r"


def _is_number(piece: str) -> bool:
    return (
        re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?(inf|infinity|nan)", piece, re.I | re.A) is not None
    )


def _fields(line: str) -> list[tuple[int, str]]:
    return [(match.start(), match[0]) for match in re.finditer(f"[^{_BLANKS}]+", line)]


def _float32(value: float) -> np.float32:
    with np.errstate(over="ignore"):
        return np.float32(value)


def _from_lines(lines: list[str], dimension: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for line in lines:
        fields = _fields(line)
        need(len(fields) >= dimension, "too few values")
        vector = fields[len(fields) - dimension :]
        word = line[: vector[0][0]].rstrip(_BLANKS)
        if all(_is_number(piece) for _at, piece in vector) and word in WORDS and word not in found:
            found[word] = np.array([_float32(float(piece)) for _at, piece in vector])
    return found


def text_vectors(raw: bytes) -> list[Any]:
    """Read a word and d numbers a line, the last d fields; a first line may say how many words there are, and d."""
    # Words are compared as bytes: a sign of each will do.
    text = raw.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape").rstrip("\r\n")
    lines = text.split("\n")
    head = lines[0].split()
    # Without a header the dimension is what most of the first lines have; all that any of them has are possible.
    firsts = [len(_fields(line)) for line in lines[:10]]
    readings = [(lines, dimension) for dimension in sorted({count - at for count in firsts for at in range(count)})]
    if len(head) == 2 and all(re.fullmatch(r"\d+", piece, re.A) for piece in head) and len(lines) > 1:
        promised = int(head[1])
        if int(head[0]) == len(lines) - 1 and 0 < promised < 10**6:
            readings.append((lines[1:], promised))
    right = []
    for reading in readings:
        try:
            right.append(_from_lines(*reading))
        except Refused:
            continue
    need(right, "no reading fits")
    return right


def gzip_text(raw: bytes) -> list[Any]:
    try:
        return text_vectors(gzip.decompress(raw))
    except Exception as error:
        raise Refused(str(error)) from None


def zip_text(raw: bytes) -> list[Any]:
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            files = [entry for entry in archive.infolist() if not entry.is_dir()]
            need(len(files) == 1, "several files")
            return text_vectors(archive.read(files[0]))
    except Exception as error:
        raise Refused(str(error)) from None


def binary_words(raw: bytes, words: list[str], vectors: dict[str, Any]) -> bool:
    """Tell whether a reading of word2vec's binary format accounts for all bytes of the file."""
    header, _newline, body = raw.partition(b"\n")
    count, dimension = map(int, header.split())
    at = 0
    seen = set()
    for word in words:
        while body[at : at + 1] == b"\n":
            at += 1
        # A word that was cut inside a character is shown with a sign in its place.
        token = word.encode()
        if word.endswith("\ufffd"):
            start = len(word[:-1].encode())
            token = body[at : body.index(b" ", at + start)]
        if not body.startswith(token + b" ", at):
            return False
        at += len(token) + 1
        here = np.frombuffer(body[at : at + 4 * dimension], "<f4")
        if len(here) != dimension or (
            word not in seen and word in vectors and vectors[word].tobytes() != here.tobytes()
        ):
            return False
        seen.add(word)
        at += 4 * dimension
    return len(words) == count and not body[at:].strip(b"\n")


def npy(raw: bytes) -> np.ndarray:
    """NumPy's format description, versions 1 to 3."""
    need(raw[:6] == b"\x93NUMPY" and raw[6:8] in (b"\1\0", b"\2\0", b"\3\0"), "magic")
    width = 2 if raw[6] == 1 else 4
    size = int.from_bytes(raw[8 : 8 + width], "little")
    need(len(raw) >= 8 + width + size, "header cut")
    try:
        header = ast.literal_eval(raw[8 + width : 8 + width + size].decode("latin1" if raw[6] < 3 else "utf-8").strip())
    except Exception as error:
        raise Refused(str(error)) from None
    need(isinstance(header, dict) and header.keys() == {"descr", "fortran_order", "shape"}, "keys")
    kind, by_columns, shape = header["descr"], header["fortran_order"], header["shape"]
    need(isinstance(kind, str) and re.fullmatch(r"[<>=|]?[fiuUS]\d+", kind), "type")
    need(type(by_columns) is bool and type(shape) is tuple and all(type(one) is int for one in shape), "shape")
    need(all(one >= 0 for one in shape), "shape")
    try:
        dtype = np.dtype(kind)
    except TypeError as error:
        raise Refused(str(error)) from None
    content = raw[8 + width + size :]
    count = math.prod(shape)
    need(dtype.itemsize and count * dtype.itemsize <= len(content), "content")
    flat = np.frombuffer(content, dtype, count)
    return flat.reshape(shape, order="F" if by_columns else "C")


def _picked(words: list[str], rows: np.ndarray) -> dict[str, Any]:
    need(rows.ndim == 2 and rows.shape[1] and rows.dtype.kind == "f" and len(rows) == len(words), "rows of floats")
    found: dict[str, Any] = {}
    with np.errstate(over="ignore"):
        for word, row in zip(words, rows, strict=True):
            if word in WORDS and word not in found:
                found[word] = row.astype(np.float32)
    return found


def npy_vectors(raw: bytes) -> list[Any]:
    """Read an array whose vocabulary, beside the file, is WORDS."""
    return [_picked(list(WORDS), npy(raw))]


def npz_vectors(raw: bytes) -> list[Any]:
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            arrays = [npy(archive.read(entry)) for entry in archive.infolist()]
    except Refused:
        raise
    except Exception as error:
        raise Refused(str(error)) from None
    floats = [one for one in arrays if one.ndim == 2 and one.dtype.kind == "f"]
    texts = [one for one in arrays if one.ndim == 1 and one.dtype.kind in "US"]
    need(len(floats) == 1 and len(texts) <= 1, "which array")
    try:
        words = [one.decode() if isinstance(one, bytes) else str(one) for one in texts[0].tolist()] if texts else None
    except (UnicodeDecodeError, ValueError) as error:
        raise Refused(str(error)) from None
    return [_picked(list(WORDS) if words is None else words, floats[0])]


def safetensors_vectors(raw: bytes) -> list[Any]:
    _metadata, tensors = safetensors(raw)
    floats = [one for one in tensors.values() if one[0] in _FLOATS and len(one[1]) == 2 and one[1][1]]
    need(len(floats) == 1, "which tensor")
    words = list(WORDS)
    if "vocabulary" in tensors:
        need(tensors["vocabulary"][0] == "U8", "vocabulary")
        try:
            words = tensors["vocabulary"][2].decode().split("\n")
        except UnicodeDecodeError as error:
            raise Refused(str(error)) from None
    kind, shape, content = floats[0]
    return [_picked(words, np.frombuffer(content, _FLOATS[kind]).reshape(shape))]


def fasttext(raw: bytes) -> list[Any]:
    """FastText's args::save, Dictionary::save and DenseMatrix::save, and the vectors of words and subwords."""

    def take(form: str) -> tuple[Any, ...]:
        nonlocal at
        size = struct.calcsize(f"<{form}")
        need(at + size <= len(raw), "cut")
        at += size
        return struct.unpack(f"<{form}", raw[at - size : at])

    at = 0
    first, second = take("2i")
    is_new = first == 793712314
    dimension = take("2i")[0] if is_new else first
    _epoch, _least, _neg, _ngrams, _loss, model, buckets, shortest, longest, _rate, _t = take("10id")
    size, words, labels, _tokens = take("3iq")
    pruned = take("q")[0] if is_new else 0
    need(model in (1, 2) and labels == 0 and size == words >= 0 and pruned <= 0, "model")
    if is_new:
        need(second in (11, 12), "version")
    if is_new and second == 11 and model == 3:
        longest = 0
    names = []
    for _ in range(size):
        end = raw.find(b"\0", at)
        need(end >= 0, "cut")
        names.append(raw[at:end])
        at = end + 1
        take("qb")
    if is_new:
        need(take("?")[0] is False, "quantised")
    rows, columns = take("2q")
    need(rows == size + buckets and columns == dimension > 0 and buckets >= 0, "sizes")
    need(at + 4 * rows * columns <= len(raw), "cut")
    table = np.frombuffer(raw, "<f4", rows * columns, at).reshape(rows, columns)

    def subwords(word: bytes) -> Iterator[int]:
        signs = [piece.encode("utf-8", "surrogateescape") for piece in _signs(b"<" + word + b">")]
        for start in range(len(signs)):
            for count in range(1, longest + 1):
                piece = b"".join(signs[start : start + count])
                if start + count > len(signs) or count < shortest:
                    continue
                if count == 1 and (start == 0 or start + count == len(signs)):
                    continue
                digest = 2166136261
                for byte in piece:
                    digest = ((digest ^ (byte | (0xFFFFFF00 if byte > 127 else 0))) * 16777619) % 2**32
                yield size + digest % buckets

    found: dict[str, Any] = {}
    for word in WORDS:
        if word.encode() in names:
            index = names.index(word.encode())
            vector = table[index].copy()
            if buckets:
                parts = list(subwords(word.encode()))
                with np.errstate(all="ignore"):
                    for row in parts:
                        vector += table[row]
                    vector /= np.float32(len(parts) + 1)
            found[word] = vector
    return [found]


def _signs(word: bytes) -> list[str]:
    """FastText's characters: a byte and the continuation bytes behind it."""
    pieces: list[bytes] = []
    for byte in word:
        if byte & 0xC0 == 0x80 and pieces:
            pieces[-1] += bytes([byte])
        else:
            pieces.append(bytes([byte]))
    return [piece.decode("utf-8", "surrogateescape") for piece in pieces]


# --- class lists ------------------------------------------------------------------------------------------------------


def class_list_txt(raw: bytes) -> list[Any]:
    lines = utf8(raw).split("\n")
    while lines and not lines[-1].strip():
        lines.pop()
    return [(class_names([line.strip() for line in lines]), {})]


def _class_table(raw: bytes, delimiter: str) -> list[Any]:
    try:
        rows = list(csv.reader(io.StringIO(utf8(raw).rstrip("\n"), newline=""), delimiter=delimiter, strict=True))
    except csv.Error as error:
        raise Refused(str(error)) from None
    need(rows, "empty")
    header = [unicodedata.normalize("NFC", cell.strip()) for cell in rows[0]]
    header = [cell.casefold() if cell.casefold() == "class" else cell for cell in header]
    need(header.count("class") == 1 and len(set(header)) == len(header), "header")
    need(all(len(row) == len(header) for row in rows), "ragged")
    columns = {
        name: [unicodedata.normalize("NFC", row[at].strip()) for row in rows[1:]] for at, name in enumerate(header)
    }
    return [(class_names(columns.pop("class")), columns)]


def class_list_tsv(raw: bytes) -> list[Any]:
    return _class_table(raw, "\t")


def class_list_csv(raw: bytes) -> list[Any]:
    return _class_table(raw, ",")


def class_list_json(raw: bytes) -> list[Any]:
    content = strict_json(utf8(raw))
    if isinstance(content, dict):
        need(set(content) == {str(index) for index in range(len(content))}, "indices")
        content = [content[str(index)] for index in range(len(content))]
    need(isinstance(content, list) and all(isinstance(name, str) for name in content), "names")
    return [(class_names([name.strip() for name in content]), {})]


# --- taxonomies -------------------------------------------------------------------------------------------------------


def _graph(edges: list[tuple[str, str]]) -> set[tuple[str, str]]:
    found = {(checked(parent.strip()), checked(child.strip())) for parent, child in edges}
    need(found, "no edges")
    children: dict[str, set[str]] = {}
    for parent, child in found:
        children.setdefault(parent, set()).add(child)
    above: dict[str, int] = {}
    for _parent, child in found:
        above[child] = above.get(child, 0) + 1
    # Take roots away until none is left: what then is left lies on or below a circle.
    ready = [name for name in children if name not in above]
    left = set(children) | set(above)
    while ready:
        name = ready.pop()
        left.discard(name)
        for child in children.get(name, ()):
            above[child] -= 1
            if not above[child]:
                ready.append(child)
    need(not left, "a circle")
    return found


def _said(text: str) -> list[str]:
    lines = [line.rstrip() for line in text.split("\n")]
    return [line for line in lines if line and not line.lstrip().startswith("#")]


def edges(raw: bytes) -> list[Any]:
    """Two names a line; the separator is any that makes two of every line; the first row may be a header."""
    lines = _said(utf8(raw))
    readings = []
    for split in (
        *(
            lambda line, sign=sign: next(csv.reader([line], delimiter=sign, strict=True, skipinitialspace=True))
            for sign in "\t,"
        ),
        str.split,
    ):
        try:
            rows = [split(line) for line in lines]
        except csv.Error:
            continue
        if any(len(row) != 2 for row in rows):
            continue
        for skip in (0, 1):
            for turn in (1, -1):
                try:
                    readings.append(_graph([tuple(row[::turn]) for row in rows[skip:]]))  # type: ignore[misc]
                except Refused:
                    continue
    need(readings, "no reading fits")
    return readings


def outline(raw: bytes) -> list[Any]:
    """Take the nearest line above a line that is less far in for its parent."""
    lines = _said(utf8(raw))
    readings = []
    for bullets in (r"[-*+]\s+", r"-+\s*", ""):
        placed = []
        for line in lines:
            body = line.lstrip()
            name = re.sub(f"^(?:{bullets})", "", body, count=1) if bullets else body
            depth = len(line) - len(body)
            # Barz's outlines tell the depth by the number of hyphens.
            if bullets == r"-+\s*":
                depth += len(body) - len(body.lstrip("-"))
            placed.append((depth, name))
        found = []
        way: list[tuple[int, str]] = []
        for depth, name in placed:
            while way and way[-1][0] >= depth:
                way.pop()
            if way:
                found.append((way[-1][1], name))
            way.append((depth, name))
        try:
            readings.append(_graph(found))
        except Refused:
            continue
    need(readings, "no reading fits")
    return readings


def nested(raw: bytes) -> list[Any]:
    """Objects that map names to what is below them, down to lists of names; or objects of name and children."""

    def pairs(items: list[tuple[str, Any]]) -> tuple[Any, ...]:
        return tuple(items)

    try:
        content = json.loads(utf8(raw), object_pairs_hook=pairs, parse_constant=len)
    except (ValueError, RecursionError) as error:
        raise Refused(str(error)) from None
    found: list[tuple[str, str]] = []

    def walk(value: Any, parent: str | None, *, in_list: bool = False) -> None:
        if isinstance(value, str):
            need(in_list, "a single name")
            if parent is not None:
                found.append((parent, value))
        elif isinstance(value, list):
            need(not in_list, "a list in a list")
            for item in value:
                need(isinstance(item, str | tuple), "no name in a list")
                walk(item, parent, in_list=True)
        elif isinstance(value, tuple):
            if any(key == "name" and isinstance(below, str) for key, below in value):
                keys = [key for key, _below in value]
                need(keys.count("name") == 1 and keys.count("children") <= 1, "two of one")
                one = dict(value)
                if parent is not None:
                    found.append((parent, one["name"]))
                for key, below in one.items():
                    need(key in ("name", "children") or not isinstance(below, list | tuple), "something else below")
                walk(one.get("children"), one["name"])
            else:
                for key, below in value:
                    if parent is not None:
                        found.append((parent, key))
                    walk(below, key)
        else:
            need(value is None, "a number")

    need(isinstance(content, tuple | list), "a single value")
    walk(content, None)
    return [_graph(found)]


def corpus_counts(raw: bytes, nodes: dict[int, int]) -> list[Any]:
    """Read offsets with n or v, a count, and ROOT behind a root; return the counts of nouns by node, and the total."""
    lines = utf8(raw).split("\n")
    need(lines[0].startswith("wnver::"), "header")
    counts: dict[int, float] = {}
    roots: dict[int, float] = {}
    for line in lines[1:]:
        if not line.strip():
            continue
        match = re.fullmatch(r"\s*(\d{1,8})([nv])\s+(\S+)(\s+ROOT)?\s*", line)
        need(match, "a line")
        assert match is not None
        if match[2] == "v":
            continue
        offset = int(match[1])
        need(offset in nodes, "no synset")
        try:
            value = float(match[3])
        except ValueError as error:
            raise Refused(str(error)) from None
        need(0 <= value < math.inf and "_" not in match[3], "no count")
        need(counts.setdefault(offset, value) == value, "contradictory counts")
        if match[4]:
            roots[offset] = value
    need(sum(roots.values()), "no total")
    return [({nodes[offset]: value for offset, value in counts.items() if value}, sum(roots.values()))]


# --- tables -----------------------------------------------------------------------------------------------------------


def tables(raw: bytes) -> Iterator[list[list[str]]]:
    """Rows of cells by tabs, and by commas; without blank lines, comments, and columns at the end that are empty."""
    text = unicodedata.normalize("NFC", utf8(raw))
    lines = [line for line in text.split("\n") if line.strip() and line[0] != "#"]
    for sign in "\t,":
        try:
            rows = [
                [cell.strip() for cell in next(csv.reader([line], delimiter=sign, strict=True, skipinitialspace=True))]
                for line in lines
            ]
        except (csv.Error, StopIteration):
            continue
        rows = [row for row in rows if any(row)]
        yield rows
        if rows and len({len(row) for row in rows}) == 1:
            width = max(at + 1 for row in rows for at, cell in enumerate(row) if cell)
            if width < len(rows[0]):
                yield [row[:width] for row in rows]


def _finite(cell: str) -> float:
    try:
        value = float(cell)
    except ValueError as error:
        raise Refused(str(error)) from None
    need(math.isfinite(value) and "_" not in cell, "no number")
    return value


def _as_classes(rows: list[list[str]], classes: list[str]) -> list[list[str]]:
    """Spell names as the classes are spelt that they equal but for case, blanks and signs."""
    spelt = {"".join(filter(str.isalnum, name.casefold())): name for name in classes}
    return [
        [cell if cell in classes else spelt.get("".join(filter(str.isalnum, cell.casefold())), cell) for cell in row]
        for row in rows
    ]


def _all(raw: bytes, reading: Any, classes: list[str] | None = None) -> list[Any]:
    found = []
    for table in tables(raw):
        for rows in (table, _as_classes(table, classes)) if classes else (table,):
            for skip in (0, 1):
                try:
                    found.append(reading(rows[:skip], rows[skip:]))
                except Refused:
                    continue
    need(found, "no reading fits")
    return found


def ratings(raw: bytes) -> list[Any]:
    """Rows of a, b, rating and perhaps rater, in this order or as a header names them."""

    def reading(head: list[list[str]], rows: list[list[str]]) -> Any:
        need(rows and len({len(row) for row in [*head, *rows]}) == 1, "ragged")
        at = [0, 1, 2, 3]
        if head:
            names = ["".join(filter(str.isalnum, cell.casefold())) for cell in head[0]]
            known = ({"a", "word1"}, {"b", "word2"}, {"rating", "simlex999"}, {"rater"})
            places = [[place for place, name in enumerate(names) if name in one] for one in known]
            need(all(len(one) == 1 for one in places[:3]) and len(places[3]) <= 1, "header")
            at = [place for one in places for place in one]
        else:
            need(len(rows[0]) in (3, 4), "cells")
            at = at[: len(rows[0])]
        found = [(row[at[0]], row[at[1]], _finite(row[at[2]]), row[at[3]] if len(at) > 3 else "") for row in rows]
        need(len({bool(row[3]) for row in found}) == 1, "raters in some rows")
        return found

    return _all(raw, reading)


def triplets(raw: bytes, classes: list[str]) -> list[Any]:
    """Return the share of the triplets that hold both of two classes in which neither is the odd one."""

    def reading(head: list[list[str]], rows: list[list[str]]) -> Any:
        names = ["".join(filter(str.isalnum, cell.casefold())) for cell in head[0]] if head else []
        if len(names) > 4 and all(names.count(name) == 1 for name in ("a", "b", "c", "odd")):
            # Other columns may stand beside the named ones.
            need(all(len(row) == len(names) for row in rows), "ragged")
            places = [names.index(name) for name in ("a", "b", "c", "odd")]
            head, rows = [[row[at] for at in places] for row in head], [[row[at] for at in places] for row in rows]
        need(rows and len({len(row) for row in [*head, *rows]}) == 1 and len(rows[0]) in (3, 4), "ragged")
        if head:
            need("".join(filter(str.isalnum, head[0][-1].casefold())) in ("odd", "oddoneout"), "header")
        together: dict[frozenset[str], int] = {}
        chosen: dict[frozenset[str], int] = {}
        for row in rows:
            three, odd = row[:3], row[-1]
            need(len(set(three)) == 3 and odd in three, "no triplet")
            if not set(three) <= set(classes):
                continue
            for pair in combinations(three, 2):
                together[frozenset(pair)] = together.get(frozenset(pair), 0) + 1
                chosen[frozenset(pair)] = chosen.get(frozenset(pair), 0) + (odd not in pair)
        return [
            [
                1.0
                if a == b
                else chosen[pair] / together[pair]
                if (pair := frozenset((a, b))) in together
                else math.nan
                for b in classes
            ]
            for a in classes
        ]

    return [np.array(one) for one in _all(raw, reading, classes)]


def square(raw: bytes, classes: list[str]) -> list[Any]:
    """Names in the first row and the first column, a number in each cell; or an array in the order of the classes."""
    if raw[:6] == b"\x93NUMPY":
        array = npy(raw)
        need(array.shape == (len(classes),) * 2 and array.dtype.kind in "fiu" and array.dtype.itemsize <= 8, "array")
        values = array.astype(np.float64)
        need(np.isfinite(values).all(), "not finite")
        return [values]

    def reading(head: list[list[str]], rows: list[list[str]]) -> Any:
        need(head and len({len(row) for row in [*head, *rows]}) == 1, "ragged")
        across, down = head[0][1:], [row[0] for row in rows]
        need(len(set(across)) == len(across) and len(set(down)) == len(down), "names twice")
        need(set(across) >= set(classes) and set(down) >= set(classes), "a class is missing")
        values = {row[0]: dict(zip(across, map(_finite, row[1:]), strict=True)) for row in rows}
        return np.array([[values[a][b] for b in classes] for a in classes])

    return _all(raw, reading, classes)


def confusion(counts: np.ndarray) -> np.ndarray:
    """S_ij / sqrt(S_ii S_jj) where S is half the sum of the rows' shares and their transpose."""
    need((counts >= 0).all() and counts.any(axis=1).all() and np.diagonal(counts).all(), "counts")
    with np.errstate(all="ignore"):
        shares = counts / counts.max(axis=1, keepdims=True)
        shares /= shares.sum(axis=1, keepdims=True)
        both = (shares + shares.T) / 2
        roots = np.sqrt(np.diagonal(both))
        values = both / np.outer(roots, roots)
    np.fill_diagonal(values, 1.0)
    return values


def keyed_vectors(raw: bytes) -> dict[str, Any]:
    """Take a pickle of KeyedVectors apart with the pure Python unpickler; nothing that it names is called."""
    import pickle

    class Stand:
        def __init__(self, *arguments: Any) -> None:
            self.arguments = arguments

        def __setstate__(self, state: Any) -> None:
            self.state = state

    class Reader(pickle._Unpickler):  # type: ignore[name-defined, misc]
        def find_class(self, _module: str, name: str) -> Any:
            return type(name, (Stand,), {})

    try:
        record = Reader(io.BytesIO(raw)).load().state
        words = record.get("index_to_key", record.get("index2word"))
        rows = record.get("vectors")
        rows = record["syn0"] if not isinstance(rows, Stand) else rows
        _version, shape, kind, by_columns, content = rows.state
        content = content if isinstance(content, bytes) else content.arguments[0].encode("latin1")
        dtype = np.dtype(f"{kind.state[1]}{kind.arguments[0]}")
        array = np.frombuffer(content, dtype).reshape(shape, order="F" if by_columns is True else "C")
        need(isinstance(words, list) and all(isinstance(word, str) for word in words), "words")
    except Refused:
        raise
    except Exception as error:
        raise Refused(str(error)) from None
    return _picked(words, array)
