"""The taxonomy above the classes of a data set: where a decision can back off to, and how mistakes are judged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from simmatrix.classes import Classes, ClassList, read_classes
from simmatrix.errors import ClassOrderError, ParameterError
from simmatrix.names import Names, names_in_order
from simmatrix.shapes import Bool, Float, Int
from simmatrix.taxonomy.graph import Taxonomy


class ClassRuns(NamedTuple):
    """Which classes are below each node, as runs in an order in which nearly every node has one run.

    `order` has the C classes in the order of a walk through the taxonomy. Run r holds the classes
    ``order[starts[r] : stops[r]]``. The first n runs are one of each node. Above a node with several parents, nodes may
    have more runs: `nodes` are the nodes of these.
    """

    order: Int[np.ndarray, " C"]
    starts: Int[np.ndarray, " R"]
    stops: Int[np.ndarray, " R"]
    nodes: Int[np.ndarray, " more"]


@dataclass(frozen=True, eq=False)
class ClassTaxonomy:
    """C classes and all nodes above them: n nodes, parents before their children; node 0 is the one root.

    Parameters
    ----------
    classes
        The C names, in label order.
    names
        The n names of the nodes. The node of one class has the name of that class.
    depths
        (n), the edges on each node's longest way up to the root; ascending.
    places
        (C), the node of each class. A class may be above another one, and classes may share a node.
    starts, ancestors
        The ancestors of node i, itself first, are ``ancestors[starts[i] : starts[i + 1]]``; shapes (n + 1) and (a).
    parents
        (n), the first parent of each node; of the root 0.

    See `read_taxonomy` for how to get one.
    """

    classes: Sequence[str]
    names: tuple[str, ...]
    depths: Int[np.ndarray, " n"]
    places: Int[np.ndarray, " C"]
    starts: Int[np.ndarray, " n1"]
    ancestors: Int[np.ndarray, " a"]
    parents: Int[np.ndarray, " n"]

    def __len__(self) -> int:
        return len(self.names)

    @cached_property
    def class_counts(self) -> Int[np.ndarray, " n"]:
        """How many classes are at or below each node."""
        return np.bincount(self._of_classes[1], minlength=len(self))

    @cached_property
    def information(self) -> Float[np.ndarray, " n"]:
        """The information of each node in bits, log2(C / classes at or below it): 0 for the root (Deng et al. 2012)."""
        return np.asarray(np.log2(len(self.classes)) - np.log2(self.class_counts))

    def is_above(self, nodes: Int[np.ndarray, "*m"], others: Int[np.ndarray, "*m"]) -> Bool[np.ndarray, "*m"]:
        """Return whether each node is above the other one, or the same."""
        wanted = others * len(self) + nodes
        keys = self.keys
        found = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        return np.asarray(keys[found] == wanted)

    @cached_property
    def keys(self) -> Int[np.ndarray, " a"]:
        """The number i * n + j for each node i and each of its ancestors j, itself among them; sorted, to search in."""
        nodes = np.repeat(np.arange(len(self)), np.diff(self.starts))
        return np.sort(nodes * len(self) + self.ancestors)

    @cached_property
    def runs(self) -> ClassRuns:
        """The classes below each node; see `ClassRuns`."""
        order = np.argsort(self._walk()[self.places], kind="stable")
        rank = np.empty(len(order), dtype=np.int64)
        rank[order] = np.arange(len(order))
        classes, nodes = self._of_classes
        places = np.sort(nodes * len(order) + rank[classes])
        nodes, ranks = np.divmod(places, len(order))
        is_first = np.diff(places, prepend=-2) != 1
        is_first[1:] |= np.diff(nodes) != 0
        starts = np.flatnonzero(is_first)
        stops = np.append(starts[1:], len(places)) - 1
        of_node = nodes[starts]
        further = np.diff(of_node, prepend=-1) == 0
        by_node = np.argsort(further, kind="stable")
        return ClassRuns(order, ranks[starts][by_node], ranks[stops][by_node] + 1, of_node[further])

    def reorder(self, names: Names) -> ClassTaxonomy:
        """Return the same taxonomy with its classes in another order.

        Raises
        ------
        ClassOrderError
            If these are not the same names.
        """
        wanted = names_in_order(names)
        if wanted == self.classes:
            return self
        at = {name: index for index, name in enumerate(self.classes)}
        if odd := sorted(set(wanted) ^ set(at)) or sorted((Counter(wanted) - Counter(at.keys())).keys()):
            raise ClassOrderError(f"the classes differ from those of the taxonomy, the first that does is {odd[0]!r}")
        places = self.places[[at[name] for name in wanted]]
        return ClassTaxonomy(wanted, self.names, self.depths, places, self.starts, self.ancestors, self.parents)

    @cached_property
    def _of_classes(self) -> tuple[Int[np.ndarray, " e"], Int[np.ndarray, " e"]]:
        """Return all pairs of a class and a node at or above it: the classes, and the nodes."""
        counts = np.diff(self.starts)[self.places]
        classes = np.repeat(np.arange(len(self.places)), counts)
        within = np.arange(len(classes)) - np.repeat(np.cumsum(counts) - counts, counts)
        return classes, self.ancestors[self.starts[self.places][classes] + within]

    def _walk(self) -> Int[np.ndarray, " n"]:
        """Return each node's place in a walk by first parents: all nodes below a node follow it."""
        levels = np.searchsorted(self.depths, np.arange(self.depths[-1] + 2))
        sizes = np.ones(len(self), dtype=np.int64)
        for first, last in list(pairwise(levels))[:0:-1]:
            np.add.at(sizes, self.parents[first:last], sizes[first:last])
        by_parent = 1 + np.argsort(self.parents[1:], kind="stable")
        before = np.cumsum(sizes[by_parent]) - sizes[by_parent]
        is_first = np.diff(self.parents[by_parent], prepend=-1) != 0
        group = np.cumsum(is_first) - 1
        offsets = np.zeros(len(self), dtype=np.int64)
        offsets[by_parent] = 1 + before - before[is_first][group]
        walk = np.zeros(len(self), dtype=np.int64)
        for first, last in list(pairwise(levels))[1:]:
            walk[first:last] = walk[self.parents[first:last]] + offsets[first:last]
        return walk


def read_taxonomy(
    source: str | Path | Sequence[str] | Mapping[str, Any] = "superclass",
    classes: Classes = "cifar100",
    *,
    format: str | None = None,
    wordnet: str = "bundled",
    language: str = "eng",
) -> ClassTaxonomy:
    """Read what is above the classes of a data set.

    Parameters
    ----------
    source
        ``"wordnet"``; a file with edges (``parent child`` a line), an indented outline or nested JSON; columns of the
        class list, the finest first, as a sequence or with commas between, or one of paths (``Home > Garden``); or a
        nested mapping, as in JSON.
    classes
        The class list: a file, the name of a bundled list, or the names themselves.
    format
        Of a file (``edges``, ``outline``, ``json``); detected if not given.
    wordnet, language
        Of WordNet, as in `from_wordnet`.

    Returns
    -------
    ClassTaxonomy
        The classes' nodes and all of their ancestors. Where the source has several roots, a node ``root`` is over them.

    Raises
    ------
    SimilarityError
        If the source can't be read or holds a circle, or a class is not in it.

    Examples
    --------
    >>> taxonomy = read_taxonomy({"animal": {"bird": ["owl", "wren"]}, "plant": ["oak"]}, ["oak", "owl", "wren"])
    >>> taxonomy.names
    ('root', 'animal', 'plant', 'bird', 'oak', 'owl', 'wren')
    >>> taxonomy.class_counts.tolist()
    [3, 2, 1, 2, 1, 1, 1]
    """
    listed = read_classes(classes)
    if isinstance(source, str) and source == "wordnet":
        from simmatrix.builders.wordnet import open_wordnet, synsets_of

        if format is not None:
            raise ParameterError(f"WordNet has no format {format}; leave it out")
        opened = open_wordnet(wordnet, language)
        pos, nodes, _found = synsets_of(opened, listed)
        return _above(opened.taxonomy(pos), nodes, listed)
    from simmatrix.builders.taxonomy import nodes_of, source_of

    loaded = source_of(source, listed, format).load(listed)
    return _above(loaded.taxonomy, nodes_of(listed.names, loaded.taxonomy, loaded.name)[0], listed)


def _above(taxonomy: Taxonomy, nodes: Int[np.ndarray, " C"], classes: ClassList) -> ClassTaxonomy:
    """Return the classes' nodes of a taxonomy and all nodes above them, below one root."""
    places = taxonomy.closure(nodes).places
    closure = taxonomy.closure(taxonomy.closure(nodes).nodes)
    counts = np.diff(closure.starts)
    roots = int((counts == 0).sum())
    more = int(roots > 1)  # a node over several roots
    at_own, sharing = np.unique(places, return_counts=True)
    own = dict(zip(places.tolist(), classes.names, strict=True))
    shared = set(at_own[sharing > 1].tolist())
    names = [
        own[place] if place in own and place not in shared else taxonomy.names[node]
        for place, node in enumerate(closure.nodes.tolist())
    ]
    lengths = np.bincount(closure.sources, minlength=len(names))
    ancestors, ends = closure.ancestors + more, np.cumsum(lengths)
    parents = np.zeros(len(names), dtype=np.int64)
    parents[counts > 0] = closure.parents[closure.starts[:-1][counts > 0]] + more
    if more:
        names.insert(0, "root")
        ancestors = np.insert(np.insert(ancestors, ends, 0), 0, 0)
        ends, parents = np.cumsum([1, *(lengths + 1)]), np.insert(parents, 0, 0)
    return ClassTaxonomy(
        classes=classes.names,
        names=tuple(names),
        depths=np.insert(closure.depths + more, 0, [0] * more),
        places=places + more,
        starts=np.insert(ends, 0, 0),
        ancestors=ancestors,
        parents=parents,
    )
