"""Similarity of classes from their places in a taxonomy: a file, or columns of the class list.

A class is the node of its name. Where there is none it is the node whose name differs in case or in what joins its
words, or is its singular (the forms of `simmatrix.builders.lookup`), if that is one node alone; then the same of what
else the name may be read as: without an index, as one of its synonyms, without a remark.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from simmatrix.builders.lookup import Resolution, folded, forms, readings
from simmatrix.builders.raw import RawSource, without_missing
from simmatrix.choices import MEASURES
from simmatrix.classes import Classes, ClassList, read_classes
from simmatrix.errors import ClassNotFoundError, ParameterError, SourceError
from simmatrix.files import decoded, read_bytes, shown_name
from simmatrix.kinds import levels_of
from simmatrix.matrix import SimilarityMatrix
from simmatrix.neighbours.tree import Tree
from simmatrix.normalise import check_lower_bound
from simmatrix.provenance import Input, Provenance, by_class
from simmatrix.shapes import Int
from simmatrix.taxonomy.graph import Taxonomy
from simmatrix.taxonomy.measures import NEED_CONTENT, intrinsic
from simmatrix.taxonomy.written import column_taxonomy, detect, read_nested, read_taxonomy
from simmatrix.text import check_choice, nearest, nearest_to_each, or_list, some_lines

_SHOWN = 5


class _Loaded(NamedTuple):
    """A taxonomy, what to call it, and what to record of it."""

    taxonomy: Taxonomy
    name: str
    params: dict[str, Any]
    inputs: tuple[Input, ...] = ()


@dataclass(frozen=True)
class TaxonomyFile:
    """A taxonomy in a file: its path, the name to record, and its format, detected if not given."""

    path: Path
    name: str
    format: str | None = None

    def load(self, classes: ClassList) -> _Loaded:
        """Read the file."""
        raw = read_bytes(self.path)
        text = decoded(raw, self.path)
        written = detect(text) if self.format is None else self.format
        taxonomy = read_taxonomy(text, self.path, written, classes.names)
        digest = hashlib.sha256(raw).hexdigest()
        params = {"format": written, **({"header": list(taxonomy.header)} if taxonomy.header else {})}
        return _Loaded(taxonomy, self.name, params, (Input("taxonomy", self.name, digest),))


@dataclass(frozen=True)
class TaxonomyColumns:
    """The taxonomy that columns of the class list make: the classes below their groups, the finest column first.

    One column alone may hold paths (``Home > Garden > Rakes``), and has a level for each of their parts; of several
    columns each is a level.
    """

    columns: tuple[str, ...]

    def load(self, classes: ClassList) -> _Loaded:
        """Put the columns together."""
        if not classes.columns:
            raise SourceError("has no column to group the classes by; add one, such as superclass", classes.source)
        choices = or_list(classes.columns)
        if not self.columns:
            raise SourceError(f"name a column to group the classes by: {choices}", classes.source)
        for position, column in enumerate(self.columns):
            if column not in classes.columns:
                raise SourceError(f"has no column {column!r} to group the classes by; choose {choices}", classes.source)
            if column in self.columns[:position]:
                raise SourceError(f"the column {column!r} is asked for twice; name each once", classes.source)
        columns = [(column, classes.column(column)) for column in self.columns]
        levels = levels_of(columns)
        params: dict[str, Any] = {"columns": list(self.columns)}
        if levels != columns:
            params["levels"] = len(levels)
        if alike := _alike(levels):
            params["alike"] = alike
        return _Loaded(column_taxonomy(classes.names, levels, classes.source), classes.source, params)


def _alike(levels: Sequence[tuple[str, Sequence[str]]]) -> list[str]:
    """Return the groups of one coarser group that are spelt alike but for case and blanks: ``Flower and flower``."""
    found = []
    for position in range(len(levels)):
        spelt: dict[tuple[str, ...], list[str]] = {}
        for value, *above in dict.fromkeys(zip(*(values for _, values in levels[position:]), strict=True)):
            key = " ".join(value.casefold().replace("_", " ").split())
            spelt.setdefault((key, *above), []).append(value)
        found += [" and ".join(several) for several in spelt.values() if len(several) > 1]
    return found


@dataclass(frozen=True)
class TaxonomyMapping:
    """A taxonomy as nested JSON has it, but in memory: ``{"animal": {"bird": ["owl", "wren"]}}``."""

    content: Mapping[str, Any]

    def load(self, _classes: ClassList) -> _Loaded:
        """Read it as the file that it would be."""
        name = "taxonomy"
        try:
            text = json.dumps(self.content, default=_as_dict)
        except (TypeError, ValueError, RecursionError) as error:
            message = f"can't be written as JSON ({error}); nest mappings, and lists of names"
            raise SourceError(message, name) from None
        digest = hashlib.sha256(text.encode()).hexdigest()
        return _Loaded(read_nested(text, Path(name)), name, {"format": "json"}, (Input("taxonomy", name, digest),))


def _as_dict(value: object) -> dict[Any, Any]:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"it holds a {type(value).__name__}")


TaxonomySource: TypeAlias = TaxonomyFile | TaxonomyColumns | TaxonomyMapping


def from_taxonomy(
    taxonomy: str | Path | Sequence[str] | Mapping[str, Any] = "superclass",
    classes: Classes = "cifar100",
    *,
    measure: str = "path",
    format: str | None = None,
    oov: str = "error",
    lower_bound: float | None = None,
    top_k: int | None = None,
) -> SimilarityMatrix:
    """Build a matrix from any hierarchy that holds the classes.

    Parameters
    ----------
    taxonomy
        A file: edges (``parent child`` a line), an indented outline, or nested JSON; or columns of the class list, the
        finest first, as a sequence or with commas between. A text that names columns is taken for them. One name in
        two coarser groups (``other`` of birds and of fish) is two groups. One column of paths, written with ``>``,
        ``›`` or ``::`` (``Home > Garden > Rakes``), is as many levels as they have parts. Or a nested mapping, as in
        JSON.
    classes
        The class list: a file, the name of a bundled list, or the names themselves.
    measure
        As in `from_wordnet`; information content is intrinsic.
    format
        The file's format (``edges``, ``outline``, ``json``); detected if not given.
    oov
        What to do with classes that have no node of their own: ``"error"``, or ``"drop"`` to leave them out.
    lower_bound
        As in `from_embeddings`: the median of all pairs if not given, which in most hierarchies is what classes share
        that only the root joins.
    top_k
        As in `from_embeddings`.

    Raises
    ------
    SimilarityError
        If the file can't be read or holds a circle, a class is not in it, or two classes have no common ancestor.

    Examples
    --------
    >>> import simmatrix
    >>> simmatrix.from_taxonomy("superclass", "cifar100", measure="lcs-height")["rose", "tulip"]
    0.5
    """
    check_lower_bound(lower_bound)
    listed = read_classes(classes)
    build = partial(taxonomy_similarity, source_of(taxonomy, listed, format), measure=measure)
    return without_missing(build, listed, oov).normalised(lower_bound, top_k)


def source_of(
    taxonomy: str | Path | Sequence[str] | Mapping[str, Any], classes: ClassList, format: str | None = None
) -> TaxonomySource:
    """Return where a taxonomy comes from: columns of the class list, a file, or a nested mapping.

    Parameters as in `from_taxonomy`.
    """
    columns = () if isinstance(taxonomy, Mapping) else _columns(taxonomy, classes)
    if not isinstance(taxonomy, Mapping) and not columns:
        path = Path(str(taxonomy))
        return TaxonomyFile(path, shown_name(path), format)
    if format is not None:
        what = "columns of the class list have" if columns else "a mapping has"
        raise ParameterError(f"{what} no format {format}; leave it out")
    return TaxonomyMapping(taxonomy) if isinstance(taxonomy, Mapping) else TaxonomyColumns(columns)


def _columns(taxonomy: str | Path | Sequence[str], classes: ClassList) -> tuple[str, ...]:
    """Return the columns that a taxonomy is made of; none if it is a file."""
    if isinstance(taxonomy, Path):
        return ()
    if not isinstance(taxonomy, str):
        return tuple(taxonomy)
    columns = tuple(part.strip() for part in taxonomy.split(","))
    known = [column for column in columns if column in classes.columns]
    exists = False
    # Many names are too long for the name of a file.
    with suppress(OSError):
        exists = bool(taxonomy) and Path(taxonomy).exists()
    if exists and len(known) == len(columns):
        raise SourceError(
            f"{taxonomy!r} is a file and names what the class list has; write ./{taxonomy} for the file, or rename it"
        )
    if not exists and (known or not taxonomy or not {"/", "\\", "."} & set(taxonomy)):
        lacking = [column for column in columns if column not in classes.columns]
        if lacking:
            close = nearest(lacking[0], classes.columns)
            columns_are = f"its columns are {or_list(classes.columns)}" if classes.columns else "it has no columns"
            hint = f"did you mean {or_list(close)}?" if close else columns_are
            raise SourceError(f"{lacking[0]!r} is neither a file nor a column of {classes.source}; {hint}")
    return columns if len(known) == len(columns) else ()


def taxonomy_similarity(source: TaxonomySource, classes: ClassList, *, measure: str = "path") -> RawSource:
    """Return how near the classes are to each other in a taxonomy, by one of `simmatrix.taxonomy.measures`.

    Raises `ClassNotFoundError` if the taxonomy has no node for a class, or several, and names each with the nearest
    nodes; `SourceError` if it can't be read, two classes have no common ancestor in it, or it has no such column.

    Examples
    --------
    >>> from simmatrix.classes import read_classes
    >>> raw = taxonomy_similarity(TaxonomyColumns(("superclass",)), read_classes("cifar100"))
    >>> raw.values[raw.classes.index("rose"), raw.classes.index("tulip")]
    np.float64(0.3333333333333333)
    """
    check_choice("measure", measure, MEASURES)
    loaded = source.load(classes)
    taxonomy = loaded.taxonomy
    nodes, found = nodes_of(classes.names, taxonomy, loaded.name)
    informed = measure in NEED_CONTENT
    content = intrinsic(taxonomy) if informed else None
    try:
        tree = Tree(taxonomy, nodes, measure, content)
    except SourceError as error:
        # The measures know no files.
        swapped = " (if the child comes first on each line, say so in a header: child,parent)"
        hint = swapped if set(nodes.tolist()) <= set(taxonomy.roots) else ""
        raise SourceError(f"{error}{hint}", loaded.name) from None
    return RawSource(
        source=tree,
        classes=classes.names,
        provenance=Provenance(
            builder="taxonomy",
            params={"measure": measure, **loaded.params, **({"information_content": "intrinsic"} if informed else {})},
            source=(*loaded.inputs, Input("classes", classes.source, classes.sha256)),
            resolution=by_class(classes.names, ({"how": one.how, "words": list(one.words)} for one in found)),
        ),
    )


def nodes_of(names: Sequence[str], taxonomy: Taxonomy, where: str) -> tuple[Int[np.ndarray, " C"], list[Resolution]]:
    """Return the node of each class, and how it was found.

    The nodes' spellings are looked at only if a name is no node as it stands.
    """
    index = {name: node for node, name in enumerate(taxonomy.names)}
    inexact = [name for name in names if name not in index]
    spelt: dict[str, list[str]] = {}
    for node in index if inexact else ():
        spelt.setdefault(folded(node), []).append(node)

    def alike(text: str) -> tuple[str, ...]:
        return tuple(node for form in dict.fromkeys(map(folded, forms(text))) if form for node in spelt.get(form, ()))

    # The nodes that are a form of the name, or of its first reading that is any.
    answers = {name: next(filter(None, map(alike, readings(name))), ()) for name in inexact}
    unclear = {name: nodes for name, nodes in answers.items() if len(nodes) != 1}
    if unclear:
        raise _not_found(unclear, index, where)
    found = [
        Resolution("name form", answers[name]) if name in answers else Resolution("name", (name,)) for name in names
    ]
    return np.array([index[one.words[0]] for one in found], dtype=np.int64), found


def _not_found(unclear: Mapping[str, tuple[str, ...]], nodes: Iterable[str], where: str) -> ClassNotFoundError:
    """Name the classes without a node of their own, and which nodes are spelt like them."""
    lines = []
    for (name, several), close in zip(unclear.items(), nearest_to_each(list(unclear), nodes), strict=True):
        if several:
            lines.append(f"{name}: it may be {or_list(several[:_SHOWN])}")
        else:
            lines.append(f"{name}: no such node{f', nearest {or_list(close)}' if close else ''}")
    parts = (
        f"{where} has no node of its own for {len(unclear)} of the classes:",
        some_lines(lines, len(lines)),
        'spell them as in the taxonomy, add them to it, or leave them out (oov="drop")',
    )
    return ClassNotFoundError("\n".join(parts), tuple(unclear))
