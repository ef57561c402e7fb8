"""The forms that class lists come in: one function a form, and the tables that say which form it is.

Everything is data: JSON and YAML are read as texts, lists and objects, XML without a document type, nothing is run.

- text: one name a line; also with its number on each line (``1 001.Albatross``, ``/a/airfield 0``), and ImageNet's
  ``n01440764 tench, Tinca tinca``
- tables (.tsv, .csv): a header, and a column of names
- JSON and YAML: a list of names, names by index, indices by name; an object that has one of these under ``id2label`` or
  ``label2id`` (transformers), ``names`` (datasets, Ultralytics), ``classes`` or ``labels``; ``features`` that have a
  ClassLabel (dataset_infos.json); ``categories`` (COCO, LVIS); pairs ``["n01440764", "tench"]`` by index
  (imagenet_class_index.json)
- XML: Label Studio's choices, labels and taxonomies
- a folder of a folder of images for each class, in the order of their names (torchvision's ImageFolder)
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias

from simmatrix.errors import SourceError
from simmatrix.files import reading
from simmatrix.names import TextArray, composed
from simmatrix.text import or_list, some

_NONE: Mapping[str, str] = MappingProxyType({})


class Row(NamedTuple):
    """A class: its name, its line if lines matter, and its values in other columns."""

    name: str
    line: int | None = None
    others: Mapping[str, str] = _NONE


Reader: TypeAlias = Callable[[str, Path, str | None], list[Row]]
"""Gives the classes in a text; also takes the file, for messages, and the column or part that holds them, if known."""


# Text ---------------------------------------------------------------------------------------------------------------

_OF_IMAGENET = re.compile(r"(n\d{8})[\s,]+(\S.*)")
# Fewer numbers may be part of the names.
_FEWEST_NUMBERED = 5
_SMALLEST_VECTOR, _LOOKED_AT = 3, 20
# A number in front of each name, or behind it. In "1 - Planning" it is part of the name.
_NUMBERED = (r"(?P<number>\d+)[\s,:]+(?P<name>[^\s.)\u2013\u2014-].*)", r"(?P<name>\S.*?)[\s,:]+(?P<number>\d+)")


def read_text(text: str, path: Path, column: str | None) -> list[Row]:
    """Read one name a line. Blank lines at the end do not count; one in the middle has no name."""
    _no_column(column, path)
    lines = [line.strip() for line in text.rstrip().split("\n")]
    if all(of_imagenet := [_OF_IMAGENET.fullmatch(line) for line in lines]):
        pairs = [one.groups() for one in of_imagenet if one]
        return [
            Row(synset, number, {"name": names.split(",")[0].strip(), "synset": synset, "phrase": names})
            for number, (synset, names) in enumerate(pairs, 1)
        ]
    for number, line in enumerate(lines, 1):
        if "\t" in line:
            raise SourceError(
                "holds a tab; if this is a table, rename the file to .tsv and give it a header with a column class",
                path,
                number,
            )
    if size := _vector_size(lines):
        raise SourceError(
            f"looks like word vectors, each line a word and {size} numbers; give the class list as a file of its own, "
            "and build from the vectors (from_embeddings)",
            path,
        )
    return [Row(name, number) for number, name in enumerate(_without_numbers(lines), 1)]


def plain_names(lines: Iterable[bytes]) -> TextArray | None:
    """Return the names in a long list of one name a line, of which only the names are ever held.

    None for what `read_text` reads otherwise or refuses: it says why.
    """
    start: list[str] = []

    def names() -> Iterator[str]:
        is_over = False
        for number, raw in enumerate(lines):
            line = raw.decode("utf-8-sig" if number == 0 else "utf-8").strip()
            if "\t" in line or "\r" in line or (is_over and line):
                raise ValueError("no plain list")
            is_over = not line
            if number <= _LOOKED_AT + 1:
                start.append(line)
            if line:
                yield composed(line)

    try:
        found = TextArray.of(names())
    except ValueError:
        return None
    numbered = [*_NUMBERED, _OF_IMAGENET.pattern]
    is_other = not start or any(re.fullmatch(pattern, start[0]) for pattern in numbered) or _vector_size(start)
    return None if is_other else found


def _vector_size(lines: Sequence[str]) -> int:
    """Return how many numbers follow each word; 0 if none or few do, since a name may end in some."""
    # The first line may be the number of vectors and their size.
    shown = lines[1 : 2 + _LOOKED_AT] if re.fullmatch(r"\d+ \d+", lines[0]) else lines[: 1 + _LOOKED_AT]
    rest = [line.split(" ")[1:] for line in shown]
    sizes = {len(one) for one in rest}
    if len(shown) < 2 or len(sizes) > 1 or min(sizes) < _SMALLEST_VECTOR:
        return 0
    is_number = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?", re.IGNORECASE).fullmatch
    return min(sizes) if all(map(is_number, (value for one in rest for value in one))) else 0


def _without_numbers(lines: Sequence[str]) -> Sequence[str]:
    """Take off the number before or behind each name, if these count the lines from 0 or from 1."""
    for pattern in _NUMBERED:
        found = [re.fullmatch(pattern, line) for line in lines] if re.fullmatch(pattern, lines[0]) else [None]
        pairs = [(int(one["number"][:9]), one["name"]) for one in found if one]
        if len(pairs) != len(lines) or len(pairs) < _FEWEST_NUMBERED or pairs[0][0] not in (0, 1):
            continue
        numbers, names = zip(*pairs, strict=True)
        if numbers == tuple(range(numbers[0], numbers[0] + len(pairs))) and len(set(names)) == len(names):
            return names
    return lines


# Tables -------------------------------------------------------------------------------------------------------------

# The headings of a column of names, where none is called class.
_HEADINGS = ("classes", "class_name", "classname", "name", "label", "label_name", "category", "category_name")

# A number, a file, or nothing.
_NO_NAME = re.compile(r"[-+]?[\d.,]*|.*\.\w{2,4}")


def read_table(delimiter: str) -> Reader:
    """Return what reads a table with this delimiter."""

    def read(text: str, path: Path, column: str | None) -> list[Row]:
        reader = csv.reader(io.StringIO(text.rstrip("\n"), newline=""), delimiter=delimiter, strict=True)
        rows: list[Row] = []
        try:
            header = [cell.strip() for cell in next(reader, [])]
            heading = _heading(header, path, column)
            # A column class that holds no names gets another heading.
            named = ["class_" if one == "class" and one != heading else one for one in header]
            for cells in reader:
                if not any(cell.strip() for cell in cells):
                    raise SourceError("the row is empty; take it out", path, reader.line_num)
                if len(cells) != len(header):
                    remedy = (
                        "write the others too, empty where there is nothing"
                        if len(cells) < len(header)
                        else "quote a field that holds a separator"
                    )
                    counted = f"has {len(cells)} field{'s' if len(cells) > 1 else ''}, the header has {len(header)}"
                    raise SourceError(f"{counted}; {remedy}", path, reader.line_num)
                others = {one: cell.strip() for one, cell in zip(named, cells, strict=True)}
                rows.append(Row(others.pop(heading), reader.line_num, others))
        except csv.Error as error:
            raise SourceError(f"is not a well-formed table ({error})", path, reader.line_num) from None
        if heading not in (column, "class") and 2 * len({row.name for row in rows}) <= len(rows):
            columns = {one: [row.others[one] for row in rows] for one in rows[0].others}
            texts = [one for one, cells in columns.items() if not any(map(_NO_NAME.fullmatch, cells))]
            if names := [one for one in texts if len(set(columns[one])) == len(rows)]:
                raise SourceError(
                    f"the column {heading} repeats names, so it holds groups; say which column holds the classes "
                    f'(class_column="{names[0]}")',
                    path,
                )
        return rows

    return read


def _heading(header: Sequence[str], path: Path, column: str | None) -> str:
    repeated = sorted({one for one in header if header.count(one) > 1})
    if repeated:
        raise SourceError(f"the header names {', '.join(repeated)} twice; column names must be unique", path, 1)
    if column is not None:
        if column not in header:
            raise SourceError(f"the header has no column {column!r}; choose {or_list(header or ['none'])}", path, 1)
        return column
    if "class" in header:
        return "class"
    folded = {one: one.lower().replace(" ", "_") for one in header}
    possible = [one for one in header if folded[one] in ("class", *_HEADINGS)]
    possible = possible or [one for one in header if folded[one] == "title"]
    # Beside names, a column category holds their groups.
    possible = [one for one in possible if not folded[one].startswith("category")] or possible
    if len(possible) > 1:
        raise SourceError(
            f"the columns {' and '.join(possible)} could both hold the classes; say which "
            f'(class_column="{possible[0]}")',
            path,
            1,
        )
    if not possible:
        found = some(header, 20) or "nothing"
        named = 'call one of the columns class, or name one with class_column="…"'
        remedy = "separate the columns by commas" if ";" in found else named
        raise SourceError(f"the header has no column named class (it has: {found}); {remedy}", path, 1)
    return possible[0]


# JSON and YAML: the same shapes -------------------------------------------------------------------------------------

_REMEDY = 'write a list of names, ["rose", "tulip"], or an object from index to name, {"0": "rose", "1": "tulip"}'


class _Object(list[tuple[str, Any]]):
    """An object's pairs in their order: a dict would silently drop a class whose index stands there twice."""

    def has(self, key: str) -> bool:
        return any(name == key for name, _value in self)

    def get(self, key: str) -> Any:
        return next((value for name, value in self if name == key), None)


def read_json(text: str, path: Path, column: str | None) -> list[Row]:
    """Read JSON of any of the shapes below."""
    try:
        content = json.loads(text, object_pairs_hook=_Object)
    except json.JSONDecodeError as error:
        raise SourceError(f"is not JSON ({error.msg}); mend it there", path, error.lineno) from None
    except (ValueError, RecursionError):
        # JSON allows numbers of any length and nesting of any depth, Python does not.
        raise SourceError(f"is JSON that no class list needs; {_REMEDY}", path) from None
    return _shaped(content, path, column)


def read_yaml(text: str, path: Path, column: str | None) -> list[Row]:
    """Read YAML of any of the shapes below. All scalars are texts: `no` is a name, not False."""
    try:
        import yaml
    except ImportError:
        raise SourceError(
            'is YAML, which takes PyYAML to read; install it: pip install "simloss[yaml]"', path
        ) from None

    def plain(node: Any) -> Any:
        if not node.tag.startswith("tag:yaml.org,2002:") or "python" in node.tag:
            raise SourceError(
                f"has the tag {node.tag[:60]!r}, and a class list needs none; take it out",
                path,
                node.start_mark.line + 1,
            )
        if isinstance(node, yaml.MappingNode):
            return _Object((str(plain(key)), plain(value)) for key, value in node.value)
        if isinstance(node, yaml.SequenceNode):
            return [plain(one) for one in node.value]
        return node.value

    try:
        for event in yaml.parse(text, yaml.SafeLoader):
            if isinstance(event, yaml.AliasEvent):
                # A few lines of them can stand for billions of names.
                line = event.start_mark.line + 1
                raise SourceError("has an alias (*name), and a class list needs none; write out its names", path, line)
        node = yaml.compose(text, yaml.SafeLoader)
        content = plain(node) if node is not None else []
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else None
        raise SourceError(f"is not YAML ({error.problem}); mend it there", path, line) from None
    except (yaml.YAMLError, RecursionError, ValueError):
        raise SourceError(f"is YAML that no class list needs; {_REMEDY}", path) from None
    return _shaped(content, path, column)


def _shaped(content: Any, path: Path, column: str | None) -> list[Row]:
    """Read the first shape that a document has."""
    for is_so, read in _SHAPES:
        if is_so(content):
            return read(content, path, column)
    if isinstance(content, _Object):
        known = or_list(("id2label", "label2id", "features", "categories", *_LISTS))
        raise SourceError(
            f"holds none of {known}, and its keys are not the indices 0 to {max(len(content) - 1, 0)}, each once; "
            f"{_REMEDY}",
            path,
        )
    raise SourceError(f"is a single value; {_REMEDY}", path)


def _has(*keys: str) -> Callable[[Any], bool]:
    return lambda content: isinstance(content, _Object) and any(map(content.has, keys))


def _is_list(content: Any) -> bool:
    return isinstance(content, list) and not isinstance(content, _Object)


def _names_by_index(content: Any, path: Path, column: str | None) -> list[Row]:
    return _in_order(content, "the keys", path, column)


def _indices_by_name(content: Any, path: Path, column: str | None) -> list[Row]:
    return _in_order([(str(index), name) for name, index in content], "the indices of the names", path, column)


def _in_order(pairs: Sequence[tuple[str, Any]], what: str, path: Path, column: str | None) -> list[Row]:
    _no_column(column, path)
    by_index = dict(pairs)
    expected = [str(index) for index in range(len(pairs))]
    counts = Counter(index for index, _name in pairs)
    wrong = [index for index in counts if counts[index] > 1] + sorted(counts.keys() - set(expected))
    if wrong:
        raise SourceError(
            f"{what} must be the indices 0 to {len(pairs) - 1}, each once; wrong or repeated: {some(wrong)}", path
        )
    return _rows([by_index[index] for index in expected], path, None)


def _rows(names: Iterable[Any], path: Path, column: str | None) -> list[Row]:
    _no_column(column, path)
    rows: list[Row] = []
    for index, name in enumerate(names):
        if _is_list(name) and len(name) == 2 and all(isinstance(one, str) for one in name):
            # ["n01440764", "tench"] of imagenet_class_index.json.
            pin, text = name
            rows.append(Row(pin, None, {"name": text, "synset": pin, "phrase": text.replace("_", " ")}))
        elif isinstance(name, str):
            rows.append(Row(name.strip()))
        else:
            raise SourceError(f"class {index} is {_said(name)}, not a name; {_REMEDY}", path)
    if len({bool(row.others) for row in rows}) > 1:
        raise SourceError(f"some classes have ids and some have none; {_REMEDY}", path)
    return rows


def _said(value: Any) -> str:
    kind = "an object" if isinstance(value, _Object) else "a list" if isinstance(value, list) else None
    return kind or json.dumps(value)[:60]


def _labels_of_a_model(content: Any, path: Path, column: str | None) -> list[Row]:
    """Read the labels in the configuration of a transformers model, which may be there once or twice."""
    _no_column(column, path)
    found = []
    for key in ("id2label", "label2id"):
        if content.has(key):
            value = content.get(key)
            if not isinstance(value, _Object):
                raise SourceError(f"its {key} is {_said(value)}, not an object; {_REMEDY}", path)
            found.append(
                _names_by_index(value, path, None) if key == "id2label" else _indices_by_name(value, path, None)
            )
    first, *others = found
    for index, (one, other) in enumerate(zip(first, *others, strict=False) if others else ()):
        if one.name != other.name or len(first) != len(others[0]):
            raise SourceError(
                f"its id2label and label2id disagree about index {index}: {one.name!r} and {other.name!r}; mend one",
                path,
            )
    return first


def _categories(content: Any, path: Path, column: str | None) -> list[Row]:
    """Read COCO's categories in the order of their ids, which have gaps; or such objects without ids as they stand."""
    listed = content.get("categories") if isinstance(content, _Object) else content
    key = column or "name"
    if not _is_list(listed) or not all(
        isinstance(one, _Object) and isinstance(dict(one).get(key), str) for one in listed
    ):
        raise SourceError(f"its categories are no list of objects that each have a text {key}; name them so", path)
    objects = [dict(one) for one in listed]
    ids = [one.get("id") for one in objects]
    if any(one is not None for one in ids):
        if not all(isinstance(one, int) or (isinstance(one, str) and one.isdecimal()) for one in ids):
            raise SourceError("its categories do not all have a whole number as id; number them all or none", path)
        repeated = [str(one) for one, count in Counter(map(str, ids)).items() if count > 1]
        if repeated:
            raise SourceError(f"its categories have the id {some(repeated)} twice; each needs its own", path)
        objects.sort(key=lambda one: int(one["id"]))
    columns = [one for one in ("supercategory", "synset") if any(isinstance(each.get(one), str) for each in objects)]
    return [
        Row(one[key].strip(), None, {name: str(one.get(name) or "").strip() for name in columns}) for one in objects
    ]


def _class_labels(content: Any, path: Path, column: str | None) -> list[Row]:
    """Read the one ClassLabel among a data set's features, or that of a name."""
    found: dict[str, list[Row]] = {}
    for name, names in _labels_in(content):
        rows = _shaped(names, path, None)
        if found.setdefault(name, rows) != rows:
            raise SourceError(
                f"its configurations have different classes for {name}; give the file of one of them", path
            )
    if not found:
        raise SourceError("its features hold no ClassLabel with names; write the names as a list", path)
    first = next(iter(found))
    if column is None and any(rows != found[first] for rows in found.values()):
        raise SourceError(f'has several: {some(list(found))}; say which (class_column="{first}")', path)
    if column is not None and column not in found:
        raise SourceError(f"has no classes called {column!r}; choose {or_list(found)}", path)
    return found[column or first]


def _labels_in(content: Any) -> Iterator[tuple[str, Any]]:
    """Go through all ClassLabels, however deep, by the names of their features."""
    left: list[tuple[str, Any]] = [("", content)]
    while left:
        name, value = left.pop()
        if not isinstance(value, _Object):
            # A list of features, each with its name, as in the head of a data set's page.
            items = reversed(value) if isinstance(value, list) else ()
            left += [((one.get("name") or name) if isinstance(one, _Object) else name, one) for one in items]
        elif isinstance(value.get("names"), list) and value.get("names"):
            yield name, value.get("names")
        else:
            left += [(name if key in ("class_label", "dtype", "feature") else key, one) for key, one in reversed(value)]


_LISTS = ("names", "classes", "labels", "class_names")


def _listed(content: Any, path: Path, column: str | None) -> list[Row]:
    keys = [key for key in ((column,) if column else _LISTS) if content.has(key)]
    if len(keys) != 1:
        what = f"no {column!r}" if column else f"several lists: {' and '.join(keys)}"
        raise SourceError(f'has {what}; say which holds the classes (class_column="…")', path)
    value = content.get(keys[0])
    if not isinstance(value, list):
        raise SourceError(f"its {keys[0]} are {_said(value)}, neither a list nor an object; {_REMEDY}", path)
    return _shaped(value, path, None)


def _without_categories(_content: Any, path: Path, _column: str | None) -> list[Row]:
    raise SourceError("has images or annotations and no categories; take the file of annotations that names them", path)


def _pairs_are(
    is_so: Callable[[str, Any], bool], count: Callable[[Iterable[bool]], bool] = all
) -> Callable[[Any], bool]:
    return lambda content: isinstance(content, _Object) and count(is_so(*pair) for pair in content)


_SHAPES: tuple[tuple[Callable[[Any], bool], Callable[[Any, Path, str | None], list[Row]]], ...] = (
    (lambda content: _is_list(content) and content and all(isinstance(one, _Object) for one in content), _categories),
    (_is_list, _rows),
    (_has("categories"), _categories),
    (_has("id2label", "label2id"), _labels_of_a_model),
    (_has("features", "dataset_info"), _class_labels),
    (lambda content: bool(content) and _pairs_are(lambda _name, value: type(value) is int)(content), _indices_by_name),
    (_pairs_are(lambda key, value: key in _LISTS and isinstance(value, list), any), _listed),
    (_pairs_are(lambda _key, one: _has("features")(one), any), _class_labels),
    (_pairs_are(lambda key, _name: key.isdecimal()), _names_by_index),
    (_has("images", "annotations"), _without_categories),
)


# XML ----------------------------------------------------------------------------------------------------------------

_PATHS = " > "


def read_xml(text: str, path: Path, column: str | None) -> list[Row]:
    """Read the choices, labels or taxonomy of Label Studio's labelling configuration."""
    from xml.etree import ElementTree

    if re.search(r"<!(doctype|entity)", text, re.IGNORECASE):
        raise SourceError("declares a document type or entities, and a class list needs none; take them out", path)
    try:
        root = ElementTree.fromstring(text)  # noqa: S314 - entities are refused above
    except ElementTree.ParseError as error:
        raise SourceError(f"is not XML ({error}); mend it there", path) from None
    groups: dict[str, list[tuple[str, ...]]] = {}
    left: list[tuple[Any, str, tuple[str, ...]]] = [(root, "", ())]
    while left:
        element, name, above = left.pop()
        place = above
        if element.tag in ("Choice", "Label") and name:
            place = (*above, element.get("value", "").strip())
            if not any(child.tag == element.tag for child in element):
                groups[name].append(place)
        elif any(child.tag in ("Choice", "Label") for child in element):
            name = element.get("name") or element.tag
            groups.setdefault(name, [])
        left += [(child, name, place) for child in reversed(element)]
    if not groups:
        raise SourceError("has no Choice and no Label; give the labelling configuration of Label Studio", path)
    if column is None and len(groups) > 1:
        raise SourceError(f'has several: {some(list(groups))}; say which (class_column="{next(iter(groups))}")', path)
    if column is not None and column not in groups:
        raise SourceError(f"has no classes called {column!r}; choose {or_list(groups)}", path)
    places = groups[column or next(iter(groups))]
    finest = [place[-1] for place in places]
    names = finest if len(set(finest)) == len(finest) else [_PATHS.join(place) for place in places]
    columns = levels(places, _PATHS)
    return [Row(name, None, {one: values[at] for one, values in columns.items()}) for at, name in enumerate(names)]


# Paths, folders, and what has no name -------------------------------------------------------------------------------


def parts_of(text: str, sign: str) -> tuple[str, ...]:
    """Return the parts of a path, without blanks around them and without empty ones; the text itself if it has none.

    Examples
    --------
    >>> parts_of("Home >Garden > ", " > ")
    ('Home', 'Garden')
    """
    return tuple(part for part in map(str.strip, text.split(sign.strip() or sign)) if part) or (text,)


def levels(places: Sequence[Sequence[str]], joint: str) -> dict[str, tuple[str, ...]]:
    """Return the columns of the levels above each class in its path, ``level_1`` the topmost, and its last part.

    Each value is the path down to its level, since different things may have the same name. A shorter path repeats its
    end in the columns that it does not reach. A class that is above others is one of its own group.

    Examples
    --------
    >>> levels([("Home", "Kitchen", "Pots"), ("Toys", "Kites")], " > ")
    {'level_1': ('Home', 'Toys'), 'level_2': ('Home > Kitchen', 'Toys'), 'phrase': ('Pots', 'Kites')}
    """
    depth = max(map(len, places), default=1)
    above = {tuple(place[:end]) for place in places for end in range(1, len(place))}
    ends = [len(place) if tuple(place) in above else max(1, len(place) - 1) for place in places]
    columns = {
        f"level_{level}": tuple(joint.join(place[: min(level, end)]) for place, end in zip(places, ends, strict=True))
        for level in range(1, depth)
    }
    return {**columns, "phrase": tuple(place[-1] for place in places)} if columns else {}


def read_folder(path: Path) -> list[Row]:
    """Return the names of a folder's sub-folders in the order of torchvision's ImageFolder."""
    with reading(path):
        names = sorted(entry.name for entry in path.iterdir() if entry.is_dir())
    if not names:
        raise SourceError(
            "is a folder without sub-folders; name a file, or a folder with a folder for each class", path
        )
    if hidden := [name for name in names if name.startswith(".")]:
        raise SourceError(f"has a hidden folder {hidden[0]}, which ImageFolder takes for a class; remove it", path)
    if set(names) <= {"train", "training", "val", "valid", "validation", "dev", "test"}:
        raise SourceError(f"holds splits and no classes; name one of them: {path / names[0]}", path)
    return [Row(name) for name in names]


def read_unnamed(text: str, path: Path, column: str | None) -> list[Row]:
    """Read a text whose file's name says nothing of its form, which shows at its start."""
    start = text.lstrip()[:1]
    first = text.split("\n", 1)[0]
    if start in ("{", "["):
        return read_json(text, path, column)
    if start == "<":
        return read_xml(text, path, column)
    for delimiter in "\t,":
        header = [cell.strip() for cell in first.split(delimiter)]
        if "class" in header or (column is not None and column in header):
            return read_table(delimiter)(text, path, column)
    return read_text(text, path, column)


# Larger files are not read as a whole for their categories alone: COCO's annotations of 118,000 images take 450 MB.
_LARGE = 1 << 26


def without_annotations(raw: bytes) -> bytes:
    """Return the categories alone of a large COCO file, and any other file as it is."""
    found = [*re.finditer(rb'"categories"\s*:\s*(?=\[)', raw)] if len(raw) > _LARGE else []
    if not found:
        return raw
    text = raw[found[-1].end() :][:_LARGE].decode("utf-8", "replace")
    try:
        end = json.JSONDecoder().raw_decode(text)[1]
    except (ValueError, RecursionError):
        return raw
    return f'{{"categories": {text[:end]}}}'.encode()


def _no_column(column: str | None, path: Path) -> None:
    if column is not None:
        raise SourceError(f"has no columns, so none called {column!r}; leave it out", path)


BY_SUFFIX: Mapping[str, Reader] = {
    ".txt": read_text,
    ".names": read_text,
    ".tsv": read_table("\t"),
    ".csv": read_table(","),
    ".json": read_json,
    ".yaml": read_yaml,
    ".yml": read_yaml,
    ".xml": read_xml,
}
"""What reads a file, by how its name ends."""
