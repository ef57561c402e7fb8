"""Orders of the classes in which blocks of similar ones show.

The optimal leaf order of a clustering is worked out here (Bar-Joseph, Gifford and Jaakkola 2001). SciPy has it too, but
what it returns is often not the optimum (SciPy's issue 11227).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from simmatrix.classes import check_superclasses
from simmatrix.errors import MatrixError
from simmatrix.matrix import SimilarityMatrix
from simmatrix.shapes import Float

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


def _by_superclass(matrix: SimilarityMatrix, superclasses: Sequence[str]) -> Ordered:
    """Put similar superclasses beside each other, and similar classes within each."""
    check_superclasses(dict(zip(matrix.classes, superclasses, strict=True)))
    values = matrix.to_dense().astype(np.float64)
    names = list(dict.fromkeys(superclasses))
    members = {name: [index for index, one in enumerate(superclasses) if one == name] for name in names}
    means = np.array([[values[np.ix_(members[a], members[b])].mean() for b in names] for a in names])
    order: list[int] = []
    groups = []
    for at in leaf_order(means):
        group = members[names[at]]
        order += [group[leaf] for leaf in leaf_order(values[np.ix_(group, group)])]
        groups.append((names[at], len(group)))
    return Ordered(matrix.select([matrix.classes[index] for index in order]), tuple(groups))


def _by_clusters(matrix: SimilarityMatrix, _superclasses: Sequence[str]) -> Ordered:
    order = leaf_order(matrix.to_dense().astype(np.float64))
    return Ordered(matrix.select([matrix.classes[index] for index in order]))


ORDERS: Mapping[str, Callable[[SimilarityMatrix, Sequence[str]], Ordered]] = {
    "clusters": _by_clusters,
    "superclass": _by_superclass,
    "file": lambda matrix, _superclasses: Ordered(matrix),
}
"""Orders by name; each takes the matrix and the classes' superclasses (which only ``superclass`` looks at)."""


# Takes time that grows with C^3: some seconds here.
_OPTIMAL_UP_TO = 2000


def leaf_order(values: Float[np.ndarray, "C C"]) -> list[int]:
    """Return the optimal leaf order (Bar-Joseph et al. 2001) of an average-linkage clustering on 1 - S.

    Of all orders that turning the tree's branches gives, it has the least sum of distances between neighbours. Above
    2000 classes the clustering's own order is taken.

    Examples
    --------
    >>> leaf_order(np.array([[1, 0.1, 0.9], [0.1, 1, 0.2], [0.9, 0.2, 1]]))
    [1, 2, 0]
    """
    from scipy.cluster.hierarchy import linkage
    from scipy.spatial.distance import squareform

    if len(values) < 3:
        return list(range(len(values)))
    distance = 1.0 - (values + values.T) / 2
    np.fill_diagonal(distance, 0.0)
    tree = _Tree.of(linkage(squareform(distance, checks=False), "average"))
    if len(values) > _OPTIMAL_UP_TO:
        return tree.leaves
    places = _best_order(tree, distance[np.ix_(tree.leaves, tree.leaves)])
    return [tree.leaves[place] for place in places]


@dataclass(frozen=True)
class _Tree:
    """A binary tree over places: each node's leaves stand side by side, those of its left branch first."""

    leaves: list[int]
    """The leaf at each place."""
    branches: dict[tuple[int, int], int]
    """For each inner node, from its first place to behind its last, the place where its right branch starts."""

    @classmethod
    def of(cls, linkage: Float[np.ndarray, "n 4"]) -> _Tree:
        members = [[leaf] for leaf in range(len(linkage) + 1)]
        children = [(int(left), int(right)) for left, right in linkage[:, :2]]
        for left, right in children:
            members.append(members[left] + members[right])
        starts = {len(members) - 1: 0}
        branches = {}
        for node in range(len(members) - 1, len(linkage), -1):
            left, right = children[node - len(linkage) - 1]
            starts[left], starts[right] = starts[node], starts[node] + len(members[left])
            branches[starts[node], starts[node] + len(members[node])] = starts[right]
        return cls(members[-1], branches)

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
