"""Similarity of classes by their order (Kobs et al. 2020: a decay for each step between two classes)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np

from simmatrix.builders.raw import RawSource
from simmatrix.choices import KERNELS
from simmatrix.classes import Classes, ClassList, read_classes
from simmatrix.errors import ParameterError, SourceError
from simmatrix.matrix import SimilarityMatrix
from simmatrix.names import composed
from simmatrix.neighbours.line import Line
from simmatrix.normalise import check_lower_bound
from simmatrix.provenance import Input, Provenance, by_class
from simmatrix.shapes import Float
from simmatrix.tables import is_number, without_commas
from simmatrix.text import check_choice, nearest, or_list, some


def from_order(
    classes: Classes,
    *,
    decay: float | None = None,
    kernel: str = "decay",
    length_scale: float | None = None,
    positions: str | None = None,
    circular: bool = False,
    period: float | None = None,
    lower_bound: float = 0.0,
    top_k: int | None = None,
) -> SimilarityMatrix:
    """Build a matrix from the order of the classes: r^|i - j| (Kobs et al. 2020), or another kernel of their distance.

    Parameters
    ----------
    classes
        The class list: a file, the name of a bundled list, or the names themselves, in their order.
    decay
        r in [0, 1), the similarity of two neighbours, for the kernel ``"decay"``; has to be given for it.
    kernel
        ``"decay"``: r^(d / s); ``"laplace"``: exp(-d / s); ``"gaussian"``: exp(-d^2 / (2 s^2));
        ``"triangular"``: max(0, 1 - d / s), for a distance d.
    length_scale
        s, the unit of distance, above 0. If not given it is 1, and for ``"triangular"`` the greatest distance there is.
    positions
        The column of the class list that says where each class stands, for uneven steps; ``"class"`` for the names
        themselves. Class i stands at i if not given.
    circular
        Take the shorter way round: the last class is next to the first.
    period
        How long the circle is; needed where positions are given.
    lower_bound, top_k
        As in `from_embeddings`, but that nothing is taken off unless asked for.

    Returns
    -------
    SimilarityMatrix
        Without a top k and where the steps are even, a Toeplitz matrix, which takes the memory of 2 C - 1 numbers.

    Raises
    ------
    SimilarityError
        If a parameter is out of its range, or a position is no number.

    Examples
    --------
    >>> import simmatrix
    >>> simmatrix.from_order(["small", "medium", "large"], decay=0.5)["small", "large"]
    0.25
    """
    check_lower_bound(lower_bound)
    raw = order_similarity(
        read_classes(classes),
        decay=decay,
        kernel=kernel,
        length_scale=length_scale,
        positions=positions,
        circular=circular,
        period=period,
    )
    return raw.normalised(lower_bound, top_k)


def decay(distance: Float[np.ndarray, "*shape"], rate: float) -> Float[np.ndarray, "*shape"]:
    """Return r^d, in [0, 1], for r in [0, 1) (Kobs et al. 2020); 0^0 is 1, so that r = 0 gives the identity."""
    return np.asarray(np.power(rate, distance))


def laplace(distance: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """Return exp(-d), in [0, 1]: the decay 1/e."""
    return np.asarray(np.exp(-distance))


def gaussian(distance: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """Return exp(-d^2 / 2), in [0, 1]: near classes count for more than under a decay, far ones for less."""
    return np.asarray(np.exp(-(distance**2) / 2))


def triangular(distance: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """Return max(0, 1 - d), in [0, 1]: in units of the range, 1 - S is the error in parts of the range."""
    return np.asarray(np.maximum(0.0, 1.0 - distance))


_KERNELS: Mapping[str, Callable[..., Float[np.ndarray, "*shape"]]] = {
    "decay": decay,
    "laplace": laplace,
    "gaussian": gaussian,
    "triangular": triangular,
}
"""Similarities of distances from 0 up, in units of the length scale, by name; ``decay`` takes its rate as well."""


class _Positions(NamedTuple):
    """The classes' positions: `places` times `unit`, with `span` between the least and the greatest."""

    texts: Sequence[str]
    places: Float[np.ndarray, " C"]
    unit: float
    span: float


@dataclass(frozen=True)
class _OfDistance:
    """The similarity of a distance between places, in units of `unit`, the shorter way round a circle."""

    similarity: Callable[[Float[np.ndarray, "*shape"]], Float[np.ndarray, "*shape"]]
    unit: float
    length_scale: float
    length: float | None

    def __call__(self, places: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
        distance = places * self.unit
        # Not below 0 where the unit is rounded and the circle no longer than the span.
        shorter = distance if self.length is None else np.minimum(distance, np.abs(self.length - distance))
        return self.similarity(shorter / self.length_scale)


def order_similarity(
    classes: ClassList,
    *,
    decay: float | None = None,
    kernel: str = "decay",
    length_scale: float | None = None,
    positions: str | None = None,
    circular: bool = False,
    period: float | None = None,
) -> RawSource:
    """Return similarities that fall with the distance of the classes' positions: K(|v_i - v_j| / s), in [0, 1].

    Evenly spaced classes in ascending or descending order give a Toeplitz view (`simmatrix.toeplitz`), others a dense
    matrix. Parameters as in `from_order`.

    Examples
    --------
    >>> order_similarity(ClassList(("low", "middle", "high")), decay=0.5).values.tolist()
    [[1.0, 0.5, 0.25], [0.5, 1.0, 0.5], [0.25, 0.5, 1.0]]
    >>> ages = ClassList(("child", "adult", "senior"), {"age": ("8", "40", "70")})
    >>> order_similarity(ages, decay=0.5, length_scale=8.0, positions="age").values[0].tolist()
    [1.0, 0.0625, 0.004645340292979379]
    """
    similarity, chosen = _kernel(kernel, decay)
    if length_scale is not None and not (math.isfinite(length_scale) and length_scale > 0):
        raise ParameterError(f"a length scale of {length_scale} is not above 0; give the distance that counts as 1")
    stand = _positions(classes, positions)
    length = _period(stand, circular=circular, period=period, positions=positions)
    if length_scale is None:
        farthest = stand.span if length is None else min(stand.span, length / 2)
        length_scale = farthest if kernel == "triangular" and farthest > 0 else 1.0

    where = {} if positions is None else {"positions": positions}
    circle = {} if length is None else {"period": length}
    of_distance = _OfDistance(similarity, stand.unit, length_scale, length)
    # In steps; where all classes stand at one place there is none.
    around = None if length is None else length / stand.unit if stand.unit else math.inf
    return RawSource(
        source=Line(stand.places, of_distance, period=around),
        classes=classes.names,
        provenance=Provenance(
            builder="order",
            params={"kernel": kernel, **chosen, "length_scale": length_scale, **where, "circular": circular, **circle},
            source=(Input("classes", classes.source, classes.sha256),),
            resolution=by_class(classes.names, ({"how": "position", "words": [text]} for text in stand.texts)),
        ),
    )


def _kernel(kernel: str, rate: float | None) -> tuple[Callable[[np.ndarray], np.ndarray], dict[str, float]]:
    check_choice("kernel", kernel, KERNELS)
    if kernel != "decay":
        if rate is not None:
            raise ParameterError(f"the kernel {kernel} has no decay; give it a length scale, or take the kernel decay")
        return _KERNELS[kernel], {}
    if rate is None:
        raise ParameterError(
            "the kernel decay needs a decay, the similarity of neighbours; give one in [0, 1), such as decay=0.5"
        )
    if not 0.0 <= rate < 1.0:
        raise ParameterError(f"a decay of {rate} is outside [0, 1); 0 makes all classes dissimilar, 0.5 is moderate")
    return partial(_KERNELS[kernel], rate=rate), {"decay": rate}


def _positions(classes: ClassList, column: str | None) -> _Positions:
    if column is None:
        places = np.arange(len(classes), dtype=np.float64)
        return _Positions([str(index) for index in range(len(classes))], places, 1.0, len(classes) - 1.0)
    texts_of = {"class": classes.names, **{composed(name): texts for name, texts in classes.columns.items()}}
    if composed(column) not in texts_of:
        close = nearest(column, texts_of)
        others = ["class, which are the names", *list(texts_of)[1:]]
        hint = f"did you mean {or_list(close)}?" if close else f"it has {or_list(others)}"
        raise SourceError(f"has no column {column!r}; {hint}", classes.source)
    texts = texts_of[composed(column)]
    wrong = {name: text for name, text in zip(classes.names, texts, strict=True) if not is_number(text)}
    if wrong:
        hint = next((f", and write {text} {hint}" for text in wrong.values() if (hint := without_commas(text))), "")
        raise SourceError(
            f"the position of a class is no number in column {column}: "
            f"{some([f'{name} ({text!r:.40})' for name, text in wrong.items()])}; "
            f"give each class a finite number, such as the middle of its range{hint}",
            classes.source,
        )
    values = np.array([float(text) for text in texts])
    with np.errstate(over="ignore", under="ignore"):
        return _Positions(texts, *_spaced(values), float(values.max() - values.min()))


def _spaced(values: Float[np.ndarray, " C"]) -> tuple[Float[np.ndarray, " C"], float]:
    """Return places and the unit between them: whole numbers where the values are evenly spaced, else the values.

    Decimals such as 0.1, 0.2 and 0.3 are evenly spaced but for their rounding. The order of the values changes nothing,
    so that the same classes in another order have the same similarities.
    """
    levels, places = np.unique(values, return_inverse=True)
    unit = (levels[-1] - levels[0]) / max(len(levels) - 1, 1)
    if not math.isfinite(unit):
        return values, 1.0
    even = levels[0] + np.arange(len(levels)) * unit
    rounding = 4 * np.finfo(np.float64).eps * np.abs(levels[[0, -1]]).max()
    # If steps are hardly larger than the rounding, uneven ones would pass for even.
    if (np.abs(levels - even) <= min(rounding, 1e-6 * unit)).all():
        return places.astype(np.float64), float(unit)
    return values, 1.0


def _period(stand: _Positions, *, circular: bool, period: float | None, positions: str | None) -> float | None:
    if not circular:
        if period is not None:
            raise ParameterError(
                f"a period of {period} without a circle; ask for a circular order too, or leave it out"
            )
        return None
    if positions is None:
        if period is not None:
            raise ParameterError(
                f"a period of {period} without positions; an order of {len(stand.texts)} classes closes after "
                f"{len(stand.texts)} steps, give the classes positions or leave the period out"
            )
        return float(len(stand.texts))
    if period is None:
        raise ParameterError(
            f"a circular order of positions needs a period, such as 360 for degrees; they span {stand.span:g}"
        )
    if not (math.isfinite(period) and period > 0 and period >= stand.span):
        raise ParameterError(
            f"a period of {period} does not hold positions that span {stand.span:g}; give the length of the circle"
        )
    return period
