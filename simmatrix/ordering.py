"""Orders of the classes in which blocks of similar ones show.

The optimal leaf order of a clustering is worked out here (Bar-Joseph, Gifford and Jaakkola 2001). SciPy has it too, but
what it returns is often not the optimum (SciPy's issue 11227).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import NamedTuple

import numpy as np

from simmatrix.classes import check_superclasses
from simmatrix.errors import MatrixError
from simmatrix.matrix import SimilarityMatrix
from simmatrix.shapes import Float, Int

MOST = 5000
"""Up to so many classes are ordered: it takes time that grows with C^2, and a picture has no room for more."""


def check_size(matrix: SimilarityMatrix) -> None:
    """Raise `MatrixError` if a matrix has more classes than can be ordered and drawn."""
    if len(matrix) > MOST:
        raise MatrixError(
            f"a picture of {len(matrix):,} classes would show none of them, {MOST:,} is the most; draw some of them: "
            "matrix.select(names).save(FILE) in Python makes a file of these alone"
        )


@dataclass(frozen=True)
class Ordered:
    """A matrix in another order, and the named groups of neighbouring classes it falls into."""

    matrix: SimilarityMatrix
    groups: tuple[tuple[str, int], ...] = ()
    """Each group's name and how many classes it has, in order."""


class Order(NamedTuple):
    """An order of C classes."""

    places: Int[np.ndarray, " C"]  # the class at each place
    groups: tuple[tuple[str, int], ...] = ()  # the name and the size of each group of neighbouring classes, in order
    tree: ClusterTree | None = None  # the clusters, where the order is by clusters


@dataclass(frozen=True, eq=False)
class ClusterTree:
    """Clusters of clusters of C classes. A node below C is a class; node C + i is made of two nodes before it."""

    children: Int[np.ndarray, "n 2"]  # the two nodes that node C + i is made of, the left one first, for C - 1 nodes
    similarities: Float[np.ndarray, " n"]  # of the two on average; in `near_clusters` of their nearest classes

    @cached_property
    def sizes(self) -> list[int]:
        """How many classes each node has."""
        sizes = [1] * (len(self.children) + 1)
        for left, right in self.children.tolist():
            sizes.append(sizes[left] + sizes[right])
        return sizes

    @cached_property
    def starts(self) -> list[int]:
        """The place of each node's first class: its classes stand side by side, those of its left child first."""
        count = len(self.children) + 1
        starts = [0] * len(self.sizes)
        for node, (left, right) in reversed([*enumerate(self.children.tolist(), count)]):
            starts[left], starts[right] = starts[node], starts[node] + self.sizes[left]
        return starts

    @property
    def order(self) -> list[int]:
        """The class at each place."""
        count = len(self.children) + 1
        places = [0] * count
        for leaf in range(count):
            places[self.starts[leaf]] = leaf
        return places

    def turned(self, order: Sequence[int]) -> ClusterTree:
        """Return the same tree with its branches turned so that an order that fits it is its own."""
        at = np.argsort(order)
        firsts = at.tolist()
        for left, right in self.children.tolist():
            firsts.append(min(firsts[left], firsts[right]))
        places = np.array(firsts)[self.children]
        return ClusterTree(np.take_along_axis(self.children, places.argsort(axis=1), axis=1), self.similarities)


def order_of(matrix: SimilarityMatrix, by: str, superclasses: Sequence[str] = ()) -> Order:
    """Return an order of a matrix's classes: by ``"clusters"``, by ``"superclass"`` or as in the ``"file"``.

    Of more than 5,000 classes the clusters are those of `near_clusters`, and superclasses stand in the order of their
    first class, their classes as in the file. Raises `SourceError` if the order is by superclass, and a class has none.
    """
    if by == "file":
        return Order(np.arange(len(matrix)))
    if by == "clusters":
        tree = clusters(matrix.to_dense().astype(np.float64)) if len(matrix) <= MOST else near_clusters(matrix)
        return Order(np.array(tree.order), tree=tree)
    check_superclasses(dict(zip(matrix.classes, superclasses, strict=True)))
    members: dict[str, list[int]] = {}
    for index, name in enumerate(superclasses):
        members.setdefault(name, []).append(index)
    names = list(members)
    if len(matrix) <= MOST:
        # Similar superclasses beside each other, and similar classes within each.
        values = matrix.to_dense().astype(np.float64)
        means = np.array([[values[np.ix_(members[a], members[b])].mean() for b in names] for a in names])
        names = [names[at] for at in leaf_order(means)]
        for name in names:
            group = members[name]
            members[name] = [group[leaf] for leaf in leaf_order(values[np.ix_(group, group)])]
    order = [index for name in names for index in members[name]]
    return Order(np.array(order), tuple((name, len(members[name])) for name in names))


def _ordered(by: str, matrix: SimilarityMatrix, superclasses: Sequence[str]) -> Ordered:
    if by == "file":
        return Ordered(matrix)
    order = order_of(matrix, by, superclasses)
    return Ordered(matrix.select([matrix.classes[index] for index in order.places.tolist()]), order.groups)


ORDERS: Mapping[str, Callable[[SimilarityMatrix, Sequence[str]], Ordered]] = {
    by: partial(_ordered, by) for by in ("clusters", "superclass", "file")
}
"""Orders by name; each takes the matrix and the classes' superclasses (which only ``superclass`` looks at)."""


# Takes time that grows with C^3: some seconds here.
_OPTIMAL_UP_TO = 2000


def leaf_order(values: Float[np.ndarray, "C C"]) -> list[int]:
    """Return the order of `clusters`.

    Examples
    --------
    >>> leaf_order(np.array([[1, 0.1, 0.9], [0.1, 1, 0.2], [0.9, 0.2, 1]]))
    [1, 2, 0]
    """
    return clusters(values).order if len(values) > 1 else [0]


def clusters(values: Float[np.ndarray, "C C"]) -> ClusterTree:
    """Return the average-linkage clustering on 1 - S, in its optimal leaf order (Bar-Joseph et al. 2001).

    Of all orders that turning the tree's branches gives, it has the least sum of distances between neighbours. Above
    2000 classes the clustering's own order is taken.
    """
    from scipy.cluster.hierarchy import linkage
    from scipy.spatial.distance import squareform

    distance = 1.0 - (values + values.T) / 2
    np.fill_diagonal(distance, 0.0)
    found = linkage(squareform(distance, checks=False), "average")
    tree = ClusterTree(found[:, :2].astype(np.intp), 1.0 - found[:, 2])
    if not 2 < len(values) <= _OPTIMAL_UP_TO:
        return tree
    leaves = tree.order
    places = _best_order(_Tree.of(tree), distance[np.ix_(leaves, leaves)])
    return tree.turned([leaves[place] for place in places])


# How many of the nearest classes of each are looked at where there are too many for all pairs.
_NEAREST = 10


def near_clusters(matrix: SimilarityMatrix) -> ClusterTree:
    """Return the single-linkage clustering of each class with its 10 nearest: in memory that grows with C, not C^2.

    Two clusters are joined at their greatest similarity (Gower and Ross 1969, by the minimum spanning tree); those that
    no similarity joins are joined at 0, in the order of their first class. The cluster with the earlier class is left.
    """
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import minimum_spanning_tree

    size = len(matrix)
    near = matrix.stored.top_k(min(_NEAREST, size - 1)).values.tocoo()
    is_other = near.row != near.col
    rows, columns = (part[is_other].astype(np.int32) for part in (near.row, near.col))  # as SciPy's graphs have them
    # Lengths are above 0, since SciPy takes an edge of length 0 for none.
    graph = csr_array((2.0 - near.data[is_other], (rows, columns)), (size, size))
    edges = minimum_spanning_tree(graph).tocoo()
    order = np.lexsort((edges.col, edges.row, edges.data))
    joins = [*zip(*(part[order].tolist() for part in (edges.row, edges.col, edges.data)), strict=True)]
    joins += [(0, other, 2.0) for other in range(1, size)]
    # The node into which each one was joined, itself if into none so far; and the first class of each.
    within, firsts = list(range(2 * size - 1)), list(range(size))

    def cluster(node: int) -> int:
        while within[node] != node:
            within[node] = within[within[node]]
            node = within[node]
        return node

    children, similarities = [], []
    for one, other, length in joins:
        left, right = sorted((cluster(one), cluster(other)), key=firsts.__getitem__)
        if left != right:
            within[left] = within[right] = len(firsts)
            firsts.append(firsts[left])
            children.append((left, right))
            similarities.append(2.0 - length)
    return ClusterTree(np.array(children), np.array(similarities))


@dataclass(frozen=True)
class _Tree:
    """A binary tree over places: each node's leaves stand side by side, those of its left branch first."""

    branches: dict[tuple[int, int], int]
    """For each inner node, from its first place to behind its last, the place where its right branch starts."""

    @classmethod
    def of(cls, tree: ClusterTree) -> _Tree:
        starts, sizes = tree.starts, tree.sizes
        nodes = enumerate(tree.children.tolist(), len(tree.children) + 1)
        return cls({(starts[node], starts[node] + sizes[node]): starts[right] for node, (_left, right) in nodes})

    def sides(self, start: int, stop: int) -> list[tuple[slice, slice]]:
        """Return where one end of a node's order can be, and where the other is then."""
        if stop - start == 1:
            return [(slice(start, stop), slice(start, stop))]
        left, right = slice(start, self.branches[start, stop]), slice(self.branches[start, stop], stop)
        return [(left, right), (right, left)]

    def other_side(self, start: int, stop: int, end: int) -> slice:
        """Return where the other end of a node's order can be."""
        return next(other for side, other in self.sides(start, stop) if side.start <= end < side.stop)


def _best_order(tree: _Tree, distance: Float[np.ndarray, "C C"]) -> list[int]:
    """Return the places in the order with the least sum of distances between neighbours."""
    size = len(distance)
    # The least sum for the smallest node that holds both places, with these as the ends of its order.
    least = np.zeros((size, size))
    for (start, stop), middle in sorted(tree.branches.items(), key=lambda item: item[0][1] - item[0][0]):
        left, right = slice(start, middle), slice(middle, stop)
        through = np.empty((size, stop - middle))
        for end, inner in tree.sides(start, middle):
            through[end] = _min_plus(least[end, inner], distance[inner, right])
        for inner, end in tree.sides(middle, stop):
            least[left, end] = _min_plus(through[left, inner.start - middle : inner.stop - middle], least[inner, end])
        least[right, left] = least[left, right].T
    middle = tree.branches[0, size]
    first, last = divmod(int(least[:middle, middle:].argmin()), size - middle)
    order: list[int] = []
    nodes = [(0, size, first, middle + last)]
    while nodes:
        start, stop, first, last = nodes.pop()
        if stop - start == 1:
            order.append(start)
            continue
        middle = tree.branches[start, stop]
        near, far = ((start, middle), (middle, stop)) if first < middle else ((middle, stop), (start, middle))
        inner, outer = tree.other_side(*near, first), tree.other_side(*far, last)
        sums = least[first, inner][:, None] + distance[inner, outer] + least[outer, last]
        one, other = divmod(int(sums.argmin()), sums.shape[1])
        nodes += [(*far, outer.start + other, last), (*near, first, inner.start + one)]
    return order


def _min_plus(a: Float[np.ndarray, "p q"], b: Float[np.ndarray, "q r"]) -> Float[np.ndarray, "p r"]:
    """Return the least a[i, k] + b[k, j] over k for each i and j; the loop goes along the shortest side."""
    p, q, r = len(a), len(b), b.shape[1]
    if p == min(p, q, r):
        return np.stack([(row[:, None] + b).min(axis=0) for row in a])
    if r == min(p, q, r):
        return np.stack([(a + column).min(axis=1) for column in b.T], axis=1)
    least = np.asarray(a[:, :1] + b[0])
    for k in range(1, q):
        np.minimum(least, a[:, k, None] + b[k], out=least)
    return least
