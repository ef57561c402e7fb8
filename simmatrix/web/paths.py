"""How one class leads to another: the chain of classes in which each is similar to the next."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from simmatrix.shapes import Float


def strongest_path(
    row: Callable[[int], Float[np.ndarray, " C"]], size: int, start: int, goal: int
) -> tuple[tuple[int, ...], float]:
    """Return the path between two of C classes whose similarities have the greatest product, and this product.

    A way round counts where it is better than the direct one: two classes of similarity 0.1 may both be at 0.9 to a
    third. Found as Dijkstra (1959) does, with -log s as the length of a step; no more of the matrix is read than the
    rows of the classes that are nearer to the start than the goal is. `row` gives the similarities of a class to all,
    in [0, 1]. The path has both ends among its classes; where none leads there, it has no class, and the product is 0.

    Examples
    --------
    >>> values = np.array([[1, 0.9, 0.1], [0.9, 1, 0.9], [0.1, 0.9, 1]])
    >>> strongest_path(lambda index: values[index], 3, 0, 2)
    ((0, 1, 2), 0.81)
    """
    best, before, is_open = np.zeros(size), np.full(size, start), np.ones(size, bool)
    best[start] = 1.0
    while True:
        at = int(np.argmax(np.where(is_open, best, -1.0)))
        if best[at] == 0 or not is_open[at]:
            return (), 0.0
        if at == goal:
            break
        is_open[at] = False
        through = best[at] * row(at).astype(np.float64)
        is_better = through > best
        best[is_better], before[is_better] = through[is_better], at
    path = [goal]
    while path[-1] != start:
        path.append(int(before[path[-1]]))
    return tuple(reversed(path)), float(best[goal])
