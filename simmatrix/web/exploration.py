"""What the page to explore a matrix knows and does; the library does the arithmetic, and the page shows it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from itertools import islice, pairwise, product
from pathlib import Path
from threading import Lock, RLock
from typing import Any, NamedTuple, TypeVar

import numpy as np

from simmatrix import summary
from simmatrix.builders.automatic import levels_for, superclasses_of
from simmatrix.builders.wordnet import definition_of, open_wordnet
from simmatrix.classes import ClassList
from simmatrix.comparison import compare
from simmatrix.errors import MatrixError, ParameterError
from simmatrix.matrix import SimilarityMatrix
from simmatrix.normalise import check_influence, check_lower_bound, check_top_k
from simmatrix.ordering import Order, order_of
from simmatrix.pairs import checked
from simmatrix.text import nearest
from simmatrix.web import pyramid
from simmatrix.web.paths import strongest_path
from simmatrix.web.preview import BOUNDS, Preview, Profile
from simmatrix.web.pyramid import TILE, Difference, Entries, Pyramid, levels_of

Json = dict[str, Any]
Found = TypeVar("Found")

NEIGHBOURS = 20
"""How many neighbours of a class are shown."""

# Up to so many classes clusters are worked out before anything is shown: it takes less than a second.
_CLUSTERED_AT_FIRST = 600
_COMPLETIONS = 12
_LISTED = 200
_NAMES_AT_ONCE = 1024
_MOST_PAIRS = 100_000
_DIFFERING = 50
# Branches of the dendrogram that are open at first.
_BRANCHES = 16
# The greatest number in a tile, of 16 bits.
_STEPS = 65535


class Limits(NamedTuple):
    """What is taken off: all but each class's k most similar others, and a lower bound or the one for an influence."""

    top_k: int | None = None
    lower_bound: float = 0.0
    influence: float | None = None


class SupersededError(Exception):
    """A picture is asked for of what was set before the last change."""


class Edit(NamedTuple):
    """Pairs that were set by hand, and how the page names and tells of them."""

    id: int
    told: str
    pairs: Mapping[tuple[str, str], float]


class Kept:
    """The last few results of slow functions, each worked out once however many ask for it."""

    def __init__(self, most: int) -> None:
        self._most, self._lock = most, RLock()
        self._found: OrderedDict[Hashable, Any] = OrderedDict()
        self._locks: dict[Hashable, RLock] = {}

    def get(self, key: Hashable, make: Callable[[], Found]) -> Found:
        """Return what is kept under a key, or make it."""
        with self._lock:
            lock = self._locks.setdefault(key, RLock())
        with lock:
            try:
                with self._lock:
                    if key in self._found:
                        self._found.move_to_end(key)
                        found: Found = self._found[key]
                        return found
                made = make()
                with self._lock:
                    self._found[key] = made
                    while len(self._found) > self._most:
                        self._found.popitem(last=False)
                return made
            finally:
                # Another thread that waits for the lock finds what was made, or tries again.
                with self._lock:
                    self._locks.pop(key, None)

    def forget(self, is_old: Callable[[Any], bool]) -> None:
        """Drop what is kept under old keys."""
        with self._lock:
            for key in [*filter(is_old, self._found)]:
                del self._found[key]


class Exploration:
    """A matrix that is looked at, perhaps beside another one; what was set on the page, and what was edited there.

    Classes that only one of the two matrices has are left out. The class list is for superclasses, synsets and names to
    read.
    """

    def __init__(
        self,
        matrix: SimilarityMatrix,
        file: Path,
        *,
        other: SimilarityMatrix | None = None,
        other_file: Path | None = None,
        classes: ClassList | None = None,
    ) -> None:
        self.left_out = 0
        if other is not None:
            here = set(other.classes)
            common = [name for name in matrix.classes if name in here]
            self.left_out = len(matrix) + len(other) - 2 * len(common)
            if len(common) < 3:
                raise MatrixError(f"the files have {len(common)} classes in common; compare files of the same classes")
            matrix = matrix if len(common) == len(matrix) else matrix.select(common)
            other = other.reorder(common) if len(common) == len(other) else other.select(common)
        self.matrix, self.file, self.other, self.other_file = matrix, file, other, other_file
        listed = None if classes is None else classes.select(matrix.classes)
        self._columns = {} if listed is None else listed.columns
        self.superclasses: Sequence[str] = () if listed is None else superclasses_of(listed, levels_for(matrix, listed))
        self.labels = self._labels()
        self._folded = [f"{name} {label}".casefold() for name, label in zip(matrix.classes, self.labels, strict=True)]
        self.limits, self.edits, self.version = Limits(), list[Edit](), 0
        # One change at a time, which may take long; and what is seen is swapped under a lock that nobody holds long.
        self._changing, self._lock = Lock(), RLock()
        self._edits_made = 0
        # A picture of 21,843 classes takes 80 MB: one is kept for each map that is on the page.
        self._pyramids = Kept(1 if other is None else 2)
        self._orders, self._profiles, self._told = Kept(3), Kept(4), Kept(2)
        self.preview = Preview(self.matrix, lambda: self.profile(None))
        self._second = None if other is None else Preview(other)

    def __len__(self) -> int:
        return len(self.matrix)

    def warm_up(self) -> None:
        """Work out what the first look needs."""
        if self.is_whole:
            with suppress(SupersededError):
                self.pyramid("first", self.first_order).tile(levels_of(len(self)) - 1, 0, 0)
        self.profile(None)

    # What there is to see.

    @property
    def is_whole(self) -> bool:
        """Whether the map may be seen as a whole; if not, its finest levels alone are."""
        return len(self) <= pyramid.MOST

    @cached_property
    def orders(self) -> tuple[str, ...]:
        """The orders that the classes can be shown in."""
        has_groups = bool(self.superclasses) and all(self.superclasses)
        return ("clusters", *(("superclass",) if has_groups else ()), "file")

    @property
    def first_order(self) -> str:
        """The order that is shown at first: by clusters, unless these take too long."""
        if len(self) <= _CLUSTERED_AT_FIRST:
            return "clusters"
        return self.orders[1]

    def about(self) -> Json:
        """Return what the page starts with."""
        return {
            "file": self.file.name,
            "other": None if self.other_file is None else self.other_file.name,
            "leftOut": self.left_out,
            "classes": len(self),
            "form": self.matrix.form,
            "builder": self.matrix.provenance.builder,
            "orders": self.orders,
            "order": self.first_order,
            "levels": levels_of(len(self)) if self.is_whole else pyramid.FINE + 1,
            "isWhole": self.is_whole,
            "tile": TILE,
            "bounds": BOUNDS,
            "superclasses": list(dict.fromkeys(self.superclasses)) if "superclass" in self.orders else [],
            "version": self.version,
            "first": self.named(0),
        }

    def state(self) -> Json:
        """Return what was set, what was edited, and what comes of it."""
        with self._lock:
            preview, limits, edits, version = self.preview, self.limits, list(self.edits), self.version
        figures = preview.figures()
        return {
            "version": version,
            "topK": limits.top_k,
            "lowerBound": preview.bound,
            "influence": figures.influence,
            "mostInfluence": preview.matrix.influence,
            "density": figures.density,
            "isolated": figures.isolated,
            "edits": [{"id": edit.id, "told": edit.told, "pairs": len(edit.pairs)} for edit in edits],
        }

    def named(self, index: int) -> Json:
        """Return a class's name, and its label where that is another."""
        return {"name": self.matrix.classes[index], "label": self.labels[index]}

    def names(self, order: str, start: int, stop: int) -> list[Json]:
        """Return the classes at some places of an order."""
        places = self.order(order).places[max(start, 0) : min(stop, start + _NAMES_AT_ONCE)]
        return [self.named(index) for index in places.tolist()]

    def search(self, text: str) -> list[Json]:
        """Return the classes whose name starts with a text, then those that hold it, then those spelt like it."""
        wanted = text.strip().casefold()
        if not wanted:
            return []
        at_start = (i for i, one in enumerate(self._folded) if one.startswith(wanted) or f" {wanted}" in one)
        inside = (i for i, one in enumerate(self._folded) if wanted in one)
        found = [*dict.fromkeys([*islice(at_start, _COMPLETIONS), *islice(inside, _COMPLETIONS)])][:_COMPLETIONS]
        if not found:
            found = self.matrix.places(nearest(text, self.matrix.classes))
        return [self.named(index) for index in found]

    def members(self, superclass: str) -> list[str]:
        """Return the names of the classes of a superclass."""
        return [name for name, one in zip(self.matrix.classes, self.superclasses, strict=False) if one == superclass]

    def describe(self, name: str, order: str) -> Json:
        """Return all that is known of a class: what `told` returns, its neighbours, and its place in an order."""
        index = self._index(name)
        places = self.order(order).places
        return {
            **self.named(index),
            **self.told(index),
            "place": int(np.flatnonzero(places == index)[0]),
            "neighbours": self._neighbours(self.preview, index),
            "otherNeighbours": None if self._second is None else self._neighbours(self._second, index),
        }

    def told(self, index: int) -> Json:
        """Return what the files tell of a class: its superclass, how it was found, and what it means."""
        told = self.matrix.provenance.resolution.get(self.matrix.classes[index], {})
        return {
            "superclass": self.superclasses[index] if self.superclasses else "",
            "how": str(told.get("how", "")),
            "words": _texts(told.get("words")),
            "doubt": _doubt(told),
            "others": _texts(told.get("others"))[:_COMPLETIONS],
            "senses": [{"synset": synset, "means": means} for synset, means in self.senses(index)],
        }

    def senses(self, index: int) -> list[tuple[str, str]]:
        """Return the synsets that a class stands for, and what each means, as far as the bundled WordNet knows."""
        name = self.matrix.classes[index]
        synsets = [self._columns["synset"][index]] if self._columns.get("synset") else []
        if self.matrix.provenance.builder == "wordnet":
            synsets = _texts(self.matrix.provenance.resolution.get(name, {}).get("words"))
        synsets = [synset for synset in synsets if synset]
        if not synsets:
            return []
        wordnet = open_wordnet()
        found = [(synset, wordnet.find(synset)) for synset in synsets]
        return [(synset, "" if one is None else definition_of(wordnet, one)) for synset, one in found]

    def path(self, start: str, goal: str) -> Json:
        """Return the path from a class to another whose similarities have the greatest product."""
        ends = self._index(start), self._index(goal)
        preview = self.preview
        path, value = strongest_path(preview.row, len(self), *ends)
        steps = [float(preview.row(one)[other]) for one, other in pairwise(path)]
        direct = float(preview.row(ends[0])[ends[1]])
        return {"classes": [self.named(one) for one in path], "steps": steps, "product": value, "direct": direct}

    def tree(self, node: int | None) -> Json:
        """Return a branch of the dendrogram with its largest branches open; of the whole if no node is named."""
        tree = self.order("clusters").tree
        assert tree is not None  # noqa: S101 - the order by clusters has one
        count = len(self)
        top = 2 * count - 2 if node is None else node
        if not 0 <= top <= 2 * count - 2:
            raise ParameterError(f"there is no branch {node}")
        is_open: set[int] = set()
        at_border = {top}
        while len(at_border) < _BRANCHES:
            largest = max(at_border, key=lambda one: (tree.sizes[one], one))
            if largest < count:
                break
            is_open.add(largest)
            at_border.remove(largest)
            at_border |= set(tree.children[largest - count].tolist())
        places = self.order("clusters").places

        def told(one: int) -> Json:
            start, size = tree.starts[one], tree.sizes[one]
            ends = [self.named(int(places[at])) for at in (start, start + size - 1)]
            similarity = 1.0 if one < count else float(tree.similarities[one - count])
            return {"node": one, "start": start, "size": size, "similarity": similarity, "ends": ends}

        # From the ends of the branches to the top: a tree may be deeper than Python's stack.
        made: dict[int, Json] = {}
        for one in sorted(is_open | at_border):
            made[one] = told(one)
            if one in is_open:
                made[one]["children"] = [made[child] for child in tree.children[one - count].tolist()]
        return made[top]

    def concerns(self) -> Json:
        """Return what about the matrix should worry its user, each with the classes that it is about."""
        preview = self.preview
        isolated = preview.isolated().tolist()
        counts = self._told.get("counts", lambda: summary.counts(self.matrix))
        several = {
            name: told
            for name, told in self.matrix.provenance.resolution.items()
            if isinstance(told.get("others"), list)
        }
        doubtful = sorted(several, key=lambda name: -(_doubt(several[name]) or 0))[:_LISTED]
        index = {name: at for at, name in enumerate(self.matrix.classes)}
        return {
            "sentences": list(summary.concerns(self.matrix, counts)),
            "isolated": {"count": len(isolated), "classes": [self.named(at) for at in isolated[:_LISTED]]},
            "senses": {
                "count": len(several),
                "classes": [
                    {
                        **self.named(index[name]),
                        "taken": " + ".join(_texts(several[name].get("words"))),
                        "others": _texts(several[name]["others"])[:3],
                        "doubt": _doubt(several[name]),
                    }
                    for name in doubtful
                    if name in index
                ],
            },
            "same": {
                "count": counts.indistinguishable_pairs,
                "pairs": [[self.named(index[name]) for name in pair] for pair in counts.indistinguishable[:_LISTED]],
            },
        }

    def comparison(self) -> Json:
        """Return how far the two files agree, as they are on the disk."""
        if self.other is None:
            raise ParameterError("one file is explored; give another one to compare it with")
        other = self.other
        known = self.superclasses if "superclass" in self.orders else None
        result = self._told.get("comparison", lambda: compare(self.matrix, other, known, _DIFFERING))
        index = {name: at for at, name in enumerate(self.matrix.classes)}
        return {
            "pairs": result.pairs,
            "sampledFrom": result.sampled_from,
            "spearman": result.spearman,
            "kendall": result.kendall,
            "superclassAuc": result.superclass_auc,
            "differences": [
                {"classes": [self.named(index[name]) for name in one.classes], "values": one.values}
                for one in result.differences
            ],
        }

    def tile(
        self, layer: str, order: str, level: int, row: int, column: int, version: int | None = None
    ) -> tuple[tuple[int, int], bytes]:
        """Return a tile's shape, and its means and its greatest values as unsigned 16-bit numbers, low byte first.

        A similarity s is the number 65535 s, and a difference d the number 65535 (d + 1) / 2. Raises `SupersededError`
        if another version than the last is asked for, or a change comes while a pass over the values is made for it.
        """
        if version not in (None, self.version) and layer != "second":
            raise SupersededError("the matrix was changed since; ask for the tile of its last version")
        blocks = self.pyramid(layer, order).tile(level, row, column)
        scaled = [(part + 1) / 2 if layer == "difference" else part for part in blocks]
        planes = [np.rint(part.astype(np.float64) * _STEPS).astype("<u2").tobytes() for part in scaled]
        height, width = blocks.mean.shape
        return (height, width), b"".join(planes)

    # What can be changed.

    def limit(self, top_k: int | None, lower_bound: float | None, influence: float | None) -> Json:
        """Set what is taken off, and return what comes of it."""
        if top_k is not None:
            check_top_k(top_k, len(self))
        check_lower_bound(lower_bound)
        if influence is not None:
            check_influence(influence)
        with self._changing:
            matrix = self._limited(top_k)
            bound = lower_bound or 0.0
            if influence is not None:
                bound = matrix.bound_for(influence, nearest=True) or 0.0
            # What is known of the edited pairs stays known while the matrix is the same.
            before = self.preview
            is_same = matrix is before.matrix
            preview = before.under(bound) if is_same else self._previewed(matrix, top_k, bound, self.edits)
            self._change(preview, Limits(top_k, lower_bound or 0.0, influence), self.edits)
        return self.state()

    def edit(self, first: Sequence[str], second: Sequence[str], value: float) -> Json:
        """Set the similarity of each class of a group to each of another one, and return what comes of it."""
        if not first or not second:
            raise ParameterError("a group has no class; name one at least on both sides")
        if len(first) * len(second) > _MOST_PAIRS:
            raise ParameterError(
                f"{len(first) * len(second):,} pairs are too many to set at once, {_MOST_PAIRS:,} is the most; "
                "take smaller groups"
            )
        self.matrix.places([*first, *second])
        pairs = checked({pair: value for pair in product(first, second) if pair[0] != pair[1]})
        one, other = (names[0] if len(names) == 1 else f"{len(names)} classes" for names in (first, second))
        with self._changing:
            there = sum(len(edit.pairs) for edit in self.edits)
            if there + len(pairs) > _MOST_PAIRS:
                raise ParameterError(
                    f"{there:,} pairs are set by hand; {len(pairs):,} more are more than {_MOST_PAIRS:,}, the most "
                    "that a page holds; undo some, or save the file and explore that"
                )
            self._edits_made += 1
            self._edit([*self.edits, Edit(self._edits_made, f"{one} and {other}: {value:g}", pairs)])
        return self.state()

    def undo(self, edit_id: int) -> Json:
        """Take an edit back, and return what comes of it."""
        with self._changing:
            left = [edit for edit in self.edits if edit.id != edit_id]
            if len(left) == len(self.edits):
                raise ParameterError("there is no such edit; it may be undone already")
            self._edit(left)
        return self.state()

    def save(self, name: str, *, replace: bool) -> Json:
        """Write the matrix as it is seen beside the file that is explored."""
        if not name or Path(name).name != name or not name.endswith(".safetensors"):
            raise ParameterError(
                f"{name!r:.80} is no name for the file; give one without folders that ends in .safetensors"
            )
        target = self.file.resolve().parent / name
        try:
            is_there = target.exists()
        except OSError as error:
            raise ParameterError(f"{name!r:.80} can't be written ({error.strerror}); give another name") from None
        if is_there and not replace:
            raise FileExistsError(f"{name} is there already")
        self.made().save(target)
        return {"saved": name, "bytes": target.stat().st_size}

    def made(self) -> SimilarityMatrix:
        """Return the matrix as it is seen, with all that was done to it in its provenance."""
        with self._lock:
            preview = self.preview
        return preview.made()

    # What this is made of.

    def order(self, by: str) -> Order:
        """Return an order of the classes."""
        if by not in self.orders:
            raise ParameterError(f"there is no order {by!r:.40}; choose {', '.join(self.orders)}")
        return self._orders.get(by, lambda: order_of(self.matrix, by, self.superclasses))

    def profile(self, top_k: int | None) -> Profile:
        """Return what a pass over the matrix finds, perhaps of its top k alone."""
        return self._profiles.get(top_k, lambda: Profile(self._limited(top_k)))

    def pyramid(self, layer: str, order: str) -> Pyramid:
        """Return the first matrix, the second one, or the second less the first, in an order, at every scale."""
        with self._lock:
            preview, version = self.preview, self.version
        sources: dict[str, Entries] = {"first": preview}
        if self._second is not None:
            sources |= {"second": self._second, "difference": Difference(preview, self._second)}
        if layer not in sources:
            raise ParameterError(f"there is no picture {layer!r:.40}; choose {', '.join(sources)}")

        def check() -> None:
            if layer != "second" and version != self.version:
                raise SupersededError("the matrix was changed meanwhile; ask for the tile of its last version")

        key = (layer, order, 0 if layer == "second" else version)
        return self._pyramids.get(key, lambda: Pyramid(sources[layer], self.order(order).places, check))

    def _limited(self, top_k: int | None) -> SimilarityMatrix:
        return self.matrix if top_k is None else self._profiles.get(("top", top_k), lambda: self.matrix.top_k(top_k))

    def _change(self, preview: Preview, limits: Limits, edits: list[Edit]) -> None:
        """Let another preview be seen, with the limits and edits that led to it."""
        with self._lock:
            self.preview, self.limits, self.edits = preview, limits, edits
            self.version += 1
        self._pyramids.forget(lambda key: key[0] != "second")

    def _edit(self, edits: list[Edit]) -> None:
        preview = self.preview
        preview = self._previewed(preview.matrix, self.limits.top_k, preview.bound, edits)
        self._change(preview, self.limits, edits)

    def _previewed(self, matrix: SimilarityMatrix, top_k: int | None, bound: float, edits: Sequence[Edit]) -> Preview:
        """Return a preview with the pairs of all edits; its profile is found when it is needed."""
        pairs: dict[tuple[str, str], float] = {}
        for edit in edits:
            for (one, other), value in edit.pairs.items():
                # The last one counts, in whatever direction it is named.
                pairs.pop((other, one), None)
                pairs[one, other] = value
        return Preview(matrix, lambda: self.profile(top_k), bound, pairs)

    def _neighbours(self, preview: Preview, index: int) -> list[Json]:
        return [{**self.named(at), "value": value} for at, value in preview.neighbours(index, NEIGHBOURS)]

    def _index(self, name: str) -> int:
        return self.matrix.places([name])[0]

    def _labels(self) -> Sequence[str]:
        """Return a name to read for each class: ImageNet's are ids."""
        column = next((self._columns[one] for one in ("name", "phrase") if self._columns.get(one)), None)
        return (
            self.matrix.classes
            if column is None
            else tuple(label or name for label, name in zip(column, self.matrix.classes, strict=True))
        )


def _doubt(told: Mapping[str, Any]) -> float | None:
    """Return how doubtful a class's sense is, if it is a number: a foreign file may have anything there."""
    doubt = told.get("doubt")
    if isinstance(doubt, int | float) and not isinstance(doubt, bool) and abs(doubt) <= 1:
        return float(doubt)
    return None


def _texts(content: object) -> list[str]:
    """Return the texts in a list; a foreign file may have anything there."""
    return [str(one)[:200] for one in content] if isinstance(content, list | tuple) else []
