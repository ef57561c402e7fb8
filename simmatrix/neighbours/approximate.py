"""The nearest of many vectors as FAISS finds them (Douze et al. 2024): faster than exact, and not all of them.

The vectors are divided among the nearest of some centres (an inverted file), and a class is compared with those of the
centres nearest to it. From `_PACKED` classes on they are compared by 4 bits for two numbers first, and the best of
these in full. The number of centres looked at is doubled until enough is found of what the exact way finds for some of
the classes, each class itself not counted. The similarities of what is found are exact.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from simmatrix.errors import SourceError
from simmatrix.neighbours.source import Finish, Rows, Source, best_of, joined
from simmatrix.neighbours.vectors import Cosines
from simmatrix.normalise import sampled
from simmatrix.provenance import Step
from simmatrix.shapes import Float, Int

# From so many classes on, vectors are compared by few bits first, and so many times as many as are kept then in full.
_PACKED, _REFINED = 100_000, 16
# The most vectors that a centre is trained from, and the rounds of training.
_TRAINED, _ROUNDS = 64, 8
# Rows that are searched for at a time.
_ROWS = 4096


class Approximate(Source):
    """Vectors that FAISS searches.

    Parameters
    ----------
    exact
        The vectors.
    count
        How many neighbours are asked for.
    finish
        What becomes of the similarities.
    recall
        The share of the exact neighbours of some classes that has to be found, in (0, 1].

    Raises
    ------
    SourceError
        If FAISS is not installed, or finds less.
    """

    def __init__(self, exact: Cosines, count: int, finish: Finish, recall: float) -> None:
        faiss = _faiss()
        self.exact, width = exact, exact.vectors.shape[1]
        centres = min(2 ** round(math.log2(4 * math.sqrt(len(exact)))), len(exact))
        packed = len(exact) >= _PACKED and width % 2 == 0
        name = f"IVF{centres}," + (f"PQ{width // 2}x4fs,RFlat" if packed else "Flat")
        self._index = faiss.index_factory(width, name, faiss.METRIC_INNER_PRODUCT)
        lists = self._lists()
        lists.cp.niter, lists.cp.max_points_per_centroid, lists.cp.min_points_per_centroid = _ROUNDS, _TRAINED, 1
        # Sums of several threads round by how they divide the work, and then other centres come out.
        threads = faiss.omp_get_max_threads()
        faiss.omp_set_num_threads(1)
        try:
            self._index.train(exact.vectors)
        finally:
            faiss.omp_set_num_threads(threads)
        self._index.add(exact.vectors)
        if packed:
            self._index.k_factor = float(_REFINED)
        found = self._look_at_more(count, finish, recall)
        refined = {"refined": _REFINED} if packed else {}
        self.settings: Step = {"search": "faiss", "index": name, "probes": int(lists.nprobe), **refined, **found}

    def _look_at_more(self, count: int, finish: Finish, recall: float) -> Step:
        rows = sampled(len(self))
        wanted = _others(rows, self.exact.nearest(rows, count, finish), len(self))
        lists = self._lists()
        lists.nprobe = max(1, lists.nlist // 64)
        while True:
            found = _others(rows, self.nearest(rows, count, finish), len(self))
            # Where no class has a neighbour above the bound, none is missed.
            share = np.isin(wanted, found, assume_unique=True).mean() if len(wanted) else 1.0
            if share >= recall:
                return {"recall": round(float(share), 4), "sampled_rows": len(rows)}
            # Half of the centres cost as much as the exact way.
            if lists.nprobe * 2 > lists.nlist // 2:
                raise SourceError(
                    f"FAISS finds {share:.1%} of the {count} nearest of {len(rows)} classes, less than "
                    f'{recall:.1%}; take search="exact", or a smaller recall'
                )
            lists.nprobe *= 2

    def _lists(self) -> Any:
        """Return the inverted file, which may be inside of another index."""
        return _faiss().extract_index_ivf(self._index)

    def __len__(self) -> int:
        return len(self.exact)

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_index": _faiss().serialize_index(self._index)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _index=_faiss().deserialize_index(state["_index"]))

    def dense(self) -> Float[np.ndarray, "C C"]:
        return self.exact.dense()

    def block(self, rows: Int[np.ndarray, " n"], columns: Int[np.ndarray, " m"]) -> Float[np.ndarray, "n m"]:
        return self.exact.block(rows, columns)

    def nearest(self, rows: Int[np.ndarray, " n"], count: int, finish: Finish) -> Rows:
        parts = (rows[start : start + _ROWS] for start in range(0, len(rows), _ROWS))
        return joined([self._nearest(part, count, finish) for part in parts])

    def _nearest(self, rows: Int[np.ndarray, " n"], count: int, finish: Finish) -> Rows:
        # One more than asked for: each class is nearest to itself.
        _, found = self._index.search(self.exact.vectors[rows], count + 1)
        owners, columns = np.repeat(np.arange(len(rows)), count + 1), found.ravel()
        there = columns >= 0
        owners, columns = owners[there], columns[there]
        return best_of(rows, owners, columns, finish(self.exact.pairs(rows[owners], columns)), count)


def _others(rows: Int[np.ndarray, " rows"], found: Rows, size: int) -> Int[np.ndarray, " n"]:
    """Return the entries of rows off the diagonal, each as one number."""
    owners = np.repeat(rows, found.counts)
    return np.asarray((owners * size + found.indices)[owners != found.indices])


def _faiss() -> Any:
    try:
        import faiss
    except ImportError:
        raise SourceError(
            'search="faiss" needs the library faiss-cpu; install it: pip install "simloss[scale]"'
        ) from None
    return faiss
