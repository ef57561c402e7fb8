"""Which sense of each class's name fits the other classes: tiger beside lion is the animal, not a fierce person.

After Resnik 1995, "Disambiguating noun groupings with respect to WordNet senses": senses support each other by the
information content of what they are both kinds of. A sense s of a class, tagged t times in WordNet's corpora, scores

    ln(t + 1) / 2  +  6 support(s, all other classes)  +  6 support(s, its group)  -  2 taken(s)

- support is the mean of IC(c) / IC(s) over the 20 nearest other classes, or over all others of the group, c the most
  informative synset that s and the other are kinds of (intrinsic information content, Seco et al. 2004); in [0, 1]
- the group is the classes that share a value in the class list's finest column of groups, such as superclass
- taken is the probability that another class means s itself, for classes differ

The probabilities of a class's senses are the softmax of their scores. The scores depend on the probabilities of the
others' senses, so all are computed six times, starting from equal ones. `benchmarks/senses.py` measures the result
against known senses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from simmatrix.shapes import Float, Int
from simmatrix.tables import is_number
from simmatrix.taxonomy.graph import Taxonomy
from simmatrix.taxonomy.measures import intrinsic

_ROUNDS = 6
# Columns that say what a class is, and group nothing.
NO_GROUPS = ("synset", "meaning", "phrase", "name", "synonyms")


class Weights(NamedTuple):
    """How many of the nearest other classes count, and the weight of each part of the sum above."""

    nearest: int = 20
    tags: float = 0.5
    others: float = 6.0
    group: float = 6.0
    taken: float = 2.0


class Choice(NamedTuple):
    """The senses of a class, the best first, by their position among those given; and the doubt about the first.

    The doubt is the second's probability over the first's: 0 where there is no other sense, 1 where they are equal.
    """

    order: tuple[int, ...]
    doubt: float


def grouping(columns: Mapping[str, Sequence[str]]) -> Sequence[str] | None:
    """Return the finest column that puts the classes into groups of two or more on average; None if there is none.

    Examples
    --------
    >>> grouping({"synset": ["", "", "", ""], "kind": ["flower", "flower", "vehicle", "vehicle"]})
    ['flower', 'flower', 'vehicle', 'vehicle']
    """
    found: list[tuple[int, str]] = []
    for column, values in columns.items():
        distinct = set(values)
        if column not in NO_GROUPS and 1 < len(distinct) <= len(values) / 2 and not any(map(is_number, distinct)):
            found.append((-len(distinct), column))
    return columns[min(found)[1]] if found else None


def choose_senses(
    taxonomy: Taxonomy,
    senses: Sequence[Sequence[int]],
    tags: Sequence[Sequence[int]],
    groups: Sequence[str] | None = None,
    weights: Weights = Weights(),  # noqa: B008 - immutable
) -> list[Choice]:
    """Choose the sense of each class that fits the other classes; of equal ones the first.

    Each of C classes may be one or more nodes of the taxonomy, its `senses`; `tags` count how often its name was tagged
    with each, and `groups` (see `grouping`) is empty for a class without one.

    Examples
    --------
    >>> from simmatrix.taxonomy.wordnet import bundled_wordnet
    >>> wordnet = bundled_wordnet()
    >>> found = [wordnet.senses(word) for word in ("tiger", "leopard", "lion")]
    >>> nodes = [[sense.synset.node for sense in one] for one in found]
    >>> choices = choose_senses(wordnet.taxonomy("n"), nodes, [[sense.tags for sense in one] for one in found])
    >>> [wordnet.name_of(one[choice.order[0]].synset) for one, choice in zip(found, choices, strict=True)]
    ['tiger.n.02', 'leopard.n.02', 'lion.n.01']
    """
    counts = np.array([len(one) for one in senses], dtype=np.int64)
    if not np.any(counts > 1):
        return [Choice((0,), 0.0)] * len(counts)
    starts = np.cumsum(counts) - counts
    nodes, owners = np.concatenate(senses).astype(np.int64), np.repeat(np.arange(len(counts)), counts)
    above = _Above(taxonomy, nodes)
    supports = [(weights.others, _Support(above, owners, np.zeros(len(counts), dtype=np.int64), weights.nearest))]
    if groups is not None:
        # A class without a group is in one of its own.
        keys = [group or str(at) for at, group in enumerate(groups)]
        of_class = np.unique(keys, return_inverse=True)[1]
        supports.append((weights.group, _Support(above, owners, of_class, len(counts))))
    prior = weights.tags * np.log(np.concatenate(tags) + 1.0)
    probabilities: Float[np.ndarray, " M"] = 1 / np.repeat(counts, counts)
    for _round in range(_ROUNDS):
        taken = np.bincount(nodes, probabilities)[nodes] - probabilities
        scores = prior - weights.taken * np.minimum(taken, 1)
        for weight, support in supports:
            scores += weight * support.of(probabilities)
        probabilities = np.exp(scores - np.maximum.reduceat(scores, starts)[owners])
        probabilities /= np.add.reduceat(probabilities, starts)[owners]
    # Rounded: the order of the classes changes the last digits of sums.
    choices = []
    for of_class in np.split(np.round(probabilities, 9), starts[1:]):
        order = np.argsort(-of_class, kind="stable")
        best = of_class[order]
        choices.append(Choice(tuple(order.tolist()), round(float(best[1] / best[0]), 3) if len(best) > 1 else 0.0))
    return choices


class _Above:
    """All pairs of one of M senses and an ancestor of it, sense by sense, the most informative ancestor first.

    `shared` is the ancestor's information content divided by the sense's own.
    """

    def __init__(self, taxonomy: Taxonomy, nodes: Int[np.ndarray, " M"]) -> None:
        closure = taxonomy.closure(nodes)
        content = intrinsic(taxonomy)[closure.nodes]
        order = np.lexsort((-content[closure.ancestors], closure.sources))
        self.senses, self.ancestors = closure.sources[order], closure.ancestors[order]
        own = content[closure.places][self.senses]
        self.shared = content[self.ancestors] / np.where(own > 0, own, 1)


class _Support:
    """How much of each sense's information the nearest other classes of a group share.

    All pairs would be a billion for ImageNet-21k. So each sense goes up its ancestors, the most informative first, and
    meets at each one the classes that it has not met below.
    """

    def __init__(
        self, above: _Above, owners: Int[np.ndarray, " M"], groups: Int[np.ndarray, " C"], nearest: int
    ) -> None:
        self.above = above
        owner = owners[above.senses]
        self.same_group, self.same_class = (
            np.unique(labels * (int(above.ancestors.max()) + 1) + above.ancestors, return_inverse=True)[1]
            for labels in (groups[owner], owner)
        )
        self.most = np.minimum(np.bincount(groups)[groups] - 1, nearest)[owners]
        self.first = np.searchsorted(above.senses, np.arange(len(owners)))

    def of(self, probabilities: Float[np.ndarray, " M"]) -> Float[np.ndarray, " M"]:
        """Return the support of each sense, in [0, 1], given how probable each is."""
        senses, weights = self.above.senses, probabilities[self.above.senses]
        of_group, of_class = (np.bincount(key, weights)[key] for key in (self.same_group, self.same_class))
        met = np.clip(of_group - of_class, 0.0, self.most[senses])
        # Classes that were met below count above as well; the offsets keep the senses apart.
        offsets = senses * (float(self.most.max()) + 1)
        met = np.maximum.accumulate(met + offsets) - offsets
        new = np.diff(met, prepend=0)
        new[self.first] = met[self.first]
        return np.asarray(np.bincount(senses, new * self.above.shared) / np.maximum(self.most, 1))
