"""How similar the nodes of a taxonomy are: the measures, each a formula on the best common ancestor of two nodes.

For two nodes a and b: c is a common ancestor (a node is its own ancestor), l(a, c) the edges on the shortest way from a
up to c, D(c) the depth of c in nodes, on the longest way from a root. A taxonomy may have nodes with several parents:
each measure says which of the common ancestors counts, the one with the greatest score. Nothing depends on an order.

There are three kinds of measures: of the shortest way between two nodes, of the best ancestor and the two nodes' own
information, and wup, of ways over the deepest ancestor. Each kind gives all pairs at once or some of them, to the same
bits, and says what is the most that nodes far from an ancestor can reach over it (`Pairing.over`).
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, partial
from typing import TypeAlias

import numpy as np

from simmatrix.choices import MEASURES
from simmatrix.errors import ParameterError, SourceError
from simmatrix.shapes import Float, Int
from simmatrix.taxonomy.graph import Closure, Taxonomy, best_common, find_unrelated, greatest_keys
from simmatrix.text import check_choice, or_list

Content: TypeAlias = "Float[np.ndarray, ' N']"
Square: TypeAlias = "Float[np.ndarray, 'C C']"
Finishing: TypeAlias = "Callable[[Float[np.ndarray, '*shape']], Float[np.ndarray, '*shape']]"
Numbers: TypeAlias = "Float[np.ndarray, '*#shape']"

# Keys worked on at a time, 1 MiB as positions.
_PIECE = 1 << 15
# Up to so many values one thread is as fast as several.
_ALONE = 1 << 24


def path(lengths: Numbers, _depth: int) -> Numbers:
    """1 / (l + 1), l = l(a, c) + l(b, c) of the common ancestor where it is least (Rada et al. 1989); in (0, 1]."""
    return 1 / (lengths + 1.0)


def lch(lengths: Numbers, depth: int) -> Numbers:
    """-ln((l + 1) / 2D) / ln(2D), l as in `path` (Leacock and Chodorow 1998): scaled by its value at l = 0; up to 1.

    D is the depth of the whole taxonomy in edges, as in NLTK. Where two nodes are as far apart as can be, it is a
    little below 0.
    """
    return np.asarray(-np.log((lengths + 1) / (2.0 * depth)) / np.log(2.0 * depth))


def res(common: Numbers, _first: Numbers, _second: Numbers, most: float) -> Numbers:
    """IC(c) / max IC, c the common ancestor of the greatest information content (Resnik 1995); in [0, 1]."""
    return np.asarray(common / most)


def lin(common: Numbers, first: Numbers, second: Numbers, _most: float) -> Numbers:
    """2 IC(c) / (IC(a) + IC(b)), c as in `res` (Lin 1998); in [0, 1]; 1 where nothing says anything."""
    total = first + second
    if total.size and total.min() > 0:
        return np.asarray(2 * common / total)
    return np.asarray(np.divide(2 * common, total, out=np.ones_like(total), where=total > 0))


def jcn(common: Numbers, first: Numbers, second: Numbers, most: float) -> Numbers:
    """1 - (IC(a) + IC(b) - 2 IC(c)) / (2 max IC), c as in `res` (Jiang and Conrath 1997, a distance); in [0, 1].

    2 max IC is the greatest distance there can be.
    """
    return np.asarray(1 - (first + second - 2 * common) / (2 * most))


def lcs_height(common: Numbers, _first: Numbers, _second: Numbers, most: float) -> Numbers:
    """1 - h(c) / h(root), c the lowest common ancestor (Deng et al. 2011, Barz and Denzler 2019); in [0, 1].

    The height h of a node is the longest way down to a node without children, in the hierarchy that the given nodes
    span: they and what is above them. Where they span a root alone, they are it, and the same. `common` is
    h(root) - h(c).
    """
    return common / most if most else np.ones_like(common)


_BY_LENGTH: Mapping[str, Callable[[Numbers, int], Numbers]] = {"path": path, "lch": lch}
_BY_CONTENT: Mapping[str, Callable[[Numbers, Numbers, Numbers, float], Numbers]] = {"res": res, "lin": lin, "jcn": jcn}

NEED_CONTENT = tuple(_BY_CONTENT)
"""The measures that need the nodes' information content."""


class Pairing(ABC):
    """What the similarity of two of C nodes is made of. Each value is the same to the last bit by every way."""

    closure: Closure  # the C nodes with all above them
    # How far each of the C nodes is from each of its ancestors, for each entry of the closure: 0 or more. Over one
    # ancestor, what is further is no more similar.
    levels: Int[np.ndarray, " a"]

    @abstractmethod
    def fill(self, out: Square, finish: Finishing | None = None) -> None:
        """Write the values of all pairs, or what a function makes of them once they are of the array's type."""

    @abstractmethod
    def values(
        self, rows: Int[np.ndarray, " r"], owners: Int[np.ndarray, " m"], columns: Int[np.ndarray, " m"]
    ) -> Float[np.ndarray, " m"]:
        """Return the values of the pairs ``rows[owners[i]], columns[i]``."""

    @abstractmethod
    def over(self, entries: Int[np.ndarray, " m"], levels: Int[np.ndarray, " m"]) -> Float[np.ndarray, " m"]:
        """Return the similarity of nodes to another one if an ancestor counts for the two.

        `entries` are those of a node and its ancestor in the closure, `levels` how far the other one is from it.
        """


class _ByLength(Pairing):
    """Measures of the shortest way between two nodes."""

    def __init__(self, taxonomy: Taxonomy, closure: Closure, measure: str) -> None:
        self.closure, self.levels = closure, closure.ups
        self._of_length = _BY_LENGTH[measure](np.arange(2.0 * taxonomy.depth + 1), taxonomy.depth)

    def fill(self, out: Square, finish: Finishing | None = None) -> None:
        values = self._of_length.astype(out.dtype)
        values = values if finish is None else finish(values)
        # Keys are lengths below 0, which count from the end.
        values = np.concatenate([values[:1], values[:0:-1]])
        scores = np.zeros(len(self.closure.nodes), np.int64)
        _fill(self.closure, scores, 1, out, lambda keys, _rows, _columns: values[keys])

    def values(
        self, rows: Int[np.ndarray, " r"], owners: Int[np.ndarray, " m"], columns: Int[np.ndarray, " m"]
    ) -> Float[np.ndarray, " m"]:
        ups = self.closure.ups
        return np.asarray(self._of_length[-best_common(self.closure, rows, owners, columns, -ups, -ups)])

    def over(self, entries: Int[np.ndarray, " m"], levels: Int[np.ndarray, " m"]) -> Float[np.ndarray, " m"]:
        return np.asarray(self._of_length[np.minimum(self.closure.ups[entries] + levels, len(self._of_length) - 1)])


class _ByAncestor(Pairing):
    """Measures of the common ancestor with the greatest score, and of what the two nodes say themselves."""

    def __init__(
        self,
        closure: Closure,
        scores: Numbers,
        most: float,
        formula: Callable[[Numbers, Numbers, Numbers, float], Numbers],
    ) -> None:
        self.closure, self._formula, self._most = closure, formula, most
        self._scores, self._ranks = np.unique(scores, return_inverse=True)
        self._own = scores[closure.places]
        # What does not depend on the two nodes does not on how far they are.
        self._is_alone = formula in (res, lcs_height)
        self._steps: Numbers
        self._steps, steps = np.unique(self._own[:1] if self._is_alone else self._own, return_inverse=True)
        steps = np.zeros_like(closure.places) if self._is_alone else steps
        self.levels = steps[closure.sources]

    def fill(self, out: Square, finish: Finishing | None = None) -> None:
        if self._is_alone:
            # One value for each common ancestor.
            values = self._formula(self._scores, self._scores, self._scores, self._most).astype(out.dtype)
            values = values if finish is None else finish(values)
            return _fill(self.closure, self._ranks, 0, out, lambda keys, _rows, _columns: values[keys])

        def value(keys: Int[np.ndarray, "r c"], rows: slice, columns: slice) -> Float[np.ndarray, "r c"]:
            raw = self._formula(self._scores[keys], self._own[rows, None], self._own[None, columns], self._most)
            return raw if finish is None else finish(raw.astype(out.dtype))

        return _fill(self.closure, self._ranks, 0, out, value)

    def values(
        self, rows: Int[np.ndarray, " r"], owners: Int[np.ndarray, " m"], columns: Int[np.ndarray, " m"]
    ) -> Float[np.ndarray, " m"]:
        ranks = best_common(self.closure, rows, owners, columns, self._ranks[self.closure.ancestors])
        return self._formula(self._scores[ranks], self._own[rows[owners]], self._own[columns], self._most)

    def over(self, entries: Int[np.ndarray, " m"], levels: Int[np.ndarray, " m"]) -> Float[np.ndarray, " m"]:
        common = self._scores[self._ranks[self.closure.ancestors[entries]]]
        return self._formula(common, self._own[self.closure.sources[entries]], self._steps[levels], self._most)


class _Wup(Pairing):
    """2 D(c) / (l(a, c) + l(b, c) + 2 D(c)), c the deepest common ancestor (Wu and Palmer 1994); in (0, 1].

    Of several as deep, the first by name counts. Depth is that of the longest way from a root, which grows with every
    step down: so the deepest common ancestor of a node and itself is the node, and its similarity 1. The lengths are
    those of the shortest ways, which may lead over another ancestor.
    """

    def __init__(self, taxonomy: Taxonomy, closure: Closure, dtype: type[np.float64] | type[np.float32]) -> None:
        self.closure, self._taxonomy, self._dtype = closure, taxonomy, dtype
        names = [taxonomy.names[node] for node in closure.nodes.tolist()]
        by_depth = sorted(range(len(names)), key=lambda node: names[node], reverse=True)
        by_depth.sort(key=lambda node: int(closure.depths[node]))
        self._deepest = np.array(by_depth)
        self._ranks = np.empty(len(names), np.int64)
        self._ranks[by_depth] = np.arange(len(names))

    @cached_property
    def levels(self) -> Int[np.ndarray, " a"]:  # type: ignore[override]  # worked out only where it is asked for
        """The shortest ways between the C nodes and their ancestors, which may lead over others."""
        every = self._taxonomy.closure(self.closure.nodes)
        lengths = np.empty(len(self.closure.sources), np.int64)
        first, step = self.closure.first, 256
        for start in range(0, len(self.closure.places), step):
            places = self.closure.places[start : start + step]
            entries = slice(first[start], first[start + len(places)])
            owners = self.closure.sources[entries] - start
            lengths[entries] = -best_common(
                every, places, owners, self.closure.ancestors[entries], -every.ups, -every.ups
            )
        return lengths

    def fill(self, out: Square, finish: Finishing | None = None) -> None:
        closure = self.closure
        lengths = greatest_keys(closure, np.zeros(len(closure.nodes), np.int64), step=1)
        best = greatest_keys(closure, self._ranks, step=0)
        for (columns, length), (_, rank) in zip(lengths, best, strict=True):
            inside = np.arange(length.shape[1])
            for rows in _pieces(out[:, columns]):
                common = self._deepest[rank[closure.places[rows]]]
                # Of b of the columns. Its transpose is that of a, since c is the same.
                out[rows, columns] = self._share(-length[common, inside], common)
        for rows in _pieces(out):
            rest = slice(rows.start, None)
            value = self._value(out[rows, rest], out[rest, rows].T)
            value = value if finish is None else finish(value.astype(out.dtype))
            out[rows, rest] = value
            out[rest, rows] = value.T

    def values(
        self, rows: Int[np.ndarray, " r"], owners: Int[np.ndarray, " m"], columns: Int[np.ndarray, " m"]
    ) -> Float[np.ndarray, " m"]:
        closure = self.closure
        common = self._deepest[best_common(closure, rows, owners, columns, self._ranks[closure.ancestors])]
        # Entries ascend with the node; those of a node are put in order once, to find that of an ancestor.
        keys, order = self._places
        wide = len(closure.nodes)
        ways = [self.levels[order[np.searchsorted(keys, one * wide + common)]] for one in (rows[owners], columns)]
        return self._value(*(self._share(length, common) for length in ways))

    def over(self, entries: Int[np.ndarray, " m"], levels: Int[np.ndarray, " m"]) -> Float[np.ndarray, " m"]:
        common = self.closure.ancestors[entries]
        return self._value(*(self._share(length, common) for length in (self.levels[entries], levels)))

    @cached_property
    def _places(self) -> tuple[Int[np.ndarray, " a"], Int[np.ndarray, " a"]]:
        keys = self.closure.sources * len(self.closure.nodes) + self.closure.ancestors
        order = np.argsort(keys)
        return keys[order], order

    def _share(self, length: Int[np.ndarray, "*shape"], common: Int[np.ndarray, "*shape"]) -> Numbers:
        """l(b, c) / 2 D(c), as it is kept."""
        return np.asarray(length / (2.0 * (self.closure.depths[common] + 1)), self._dtype)

    def _value(self, one: Numbers, other: Numbers) -> Numbers:
        # The sum of the two first: in another order it would round differently in the other half.
        return np.asarray(1 / (1 + (one.astype(np.float64) + other)))


def pairing(
    taxonomy: Taxonomy,
    nodes: Int[np.ndarray, " C"],
    measure: str,
    content: Content | None = None,
    dtype: type[np.float64] | type[np.float32] = np.float64,
) -> Pairing:
    """Return what the similarity of C nodes is made of. Parameters and errors as in `taxonomy_values`."""
    check_choice("measure", measure, MEASURES)
    if measure in NEED_CONTENT and content is None:
        raise ParameterError(f"{or_list(NEED_CONTENT)} need the nodes' information content; give it")
    closure = taxonomy.closure(nodes)
    _check_related(taxonomy, closure)
    if measure in _BY_LENGTH:
        return _ByLength(taxonomy, closure, measure)
    if measure == "wup":
        return _Wup(taxonomy, closure, dtype)
    if content is None or measure not in _BY_CONTENT:
        highest = float(closure.heights.max())
        return _ByAncestor(closure, (highest - closure.heights).astype(np.float64), highest, lcs_height)
    most = float(content[np.isfinite(content)].max())
    return _ByAncestor(closure, content[closure.nodes], most, _BY_CONTENT[measure])


def taxonomy_values(
    taxonomy: Taxonomy,
    nodes: Int[np.ndarray, " C"],
    measure: str,
    content: Content | None = None,
    dtype: type[np.float64] | type[np.float32] = np.float64,
) -> Square:
    """Return how similar each two of C nodes are, symmetric.

    The nodes are given by their indices; one may be there twice. The measure is one of `simmatrix.choices.MEASURES`;
    those in `NEED_CONTENT` need the information content of all N nodes. Besides the result, memory for some rows is
    taken. Raises `ParameterError` if there is no such measure or no content for it, and `SourceError` if two nodes have
    no common ancestor; names them.

    Examples
    --------
    >>> from simmatrix.taxonomy.graph import Edge, from_edges
    >>> flowers = from_edges([Edge("flower", "rose"), Edge("flower", "tulip")], "flowers")
    >>> taxonomy_values(flowers, np.array([1, 2]), "path")[0, 1]
    np.float64(0.3333333333333333)
    """
    values = np.empty((len(nodes), len(nodes)), dtype)
    pairing(taxonomy, nodes, measure, content, dtype).fill(values)
    return values


def _check_related(taxonomy: Taxonomy, closure: Closure) -> None:
    apart = find_unrelated(closure)
    if apart is None:
        return
    names, roots = [], []
    for node in closure.nodes[closure.places[list(apart)]].tolist():
        names.append(repr(taxonomy.names[node]))
        while taxonomy.starts[node] < taxonomy.starts[node + 1]:
            node = int(taxonomy.parents[taxonomy.starts[node]])
        roots.append(repr(taxonomy.names[node]))
    raise SourceError(
        f"{' and '.join(names)} have no common ancestor (their roots are {' and '.join(roots)}); "
        "put the roots under a common parent"
    )


def _fill(
    closure: Closure,
    scores: Int[np.ndarray, " n"],
    step: int,
    out: Square,
    value: Callable[[Int[np.ndarray, "r c"], slice, slice], Float[np.ndarray, "r c"]],
) -> None:
    """Write a value of the greatest keys of the C nodes with each other, and of where they are, in pieces of (C, C)."""

    def write(columns: slice, keys: Int[np.ndarray, "n b"], rows: slice) -> None:
        # As numbers of pointer size: as positions they would be made so anyway.
        out[rows, columns] = value(keys[closure.places[rows]].astype(np.intp), rows, columns)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        run = pool.map if out.size > _ALONE else map
        for columns, keys in greatest_keys(closure, scores, step=step):
            list(run(partial(write, columns, keys), _pieces(out[:, columns])))


def _pieces(values: Float[np.ndarray, "n b"]) -> Iterator[slice]:
    """Give slices of rows that hold about `_PIECE` values each."""
    height = max(1, _PIECE // values.shape[1])
    return (slice(start, min(start + height, len(values))) for start in range(0, len(values), height))


def intrinsic(taxonomy: Taxonomy) -> Float[np.ndarray, " N"]:
    """Return 1 - ln(hyponyms + 1) / ln N (Seco et al. 2004): 1 for leaves, 0 for a root over everything.

    A node's hyponyms are all nodes below it, each counted once however many ways lead there. Needs no corpus.

    Examples
    --------
    >>> from simmatrix.taxonomy.graph import Edge, from_edges
    >>> intrinsic(from_edges([Edge("flower", "rose"), Edge("flower", "tulip")], "flowers")).tolist()
    [0.0, 1.0, 1.0]
    """
    hyponyms_and_itself = propagated(taxonomy, np.ones(len(taxonomy)))
    return np.asarray(1 - np.log(hyponyms_and_itself) / np.log(len(taxonomy)))


def propagated(taxonomy: Taxonomy, own: Float[np.ndarray, " N"]) -> Float[np.ndarray, " N"]:
    """Return each node's own count together with the counts of all nodes below it, each added once."""
    closure = taxonomy.closure(np.arange(len(taxonomy)))
    sums = np.bincount(closure.ancestors, weights=own[closure.sources], minlength=len(taxonomy))
    totals = np.empty(len(taxonomy))
    totals[closure.nodes] = sums
    return totals


def from_counts(counts: Float[np.ndarray, " N"], total: float) -> Float[np.ndarray, " N"]:
    """Return -ln(count / total) (Resnik 1995) of counts that hold those of all nodes below; infinite where it is 0."""
    content = np.full(len(counts), np.inf)
    seen = counts > 0
    # No count is above the total but for rounding.
    content[seen] = np.maximum(-np.log(counts[seen] / total), 0.0)
    return content
