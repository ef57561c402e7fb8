"""What all metrics here have in common: sums over examples, which batches and processes add to."""

from __future__ import annotations

import zlib
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torchmetrics import Metric

from simloss.errors import ArgumentError
from simloss.metrics.inputs import Predicted, Predictions, read_predictions
from simmatrix.shapes import Float, Int


class SumsOverExamples(Metric):
    """A metric that keeps sums, in float64 or int64, whatever becomes of the model that it is a part of.

    Parameters
    ----------
    num_classes
        C.
    tables
        What is known of the classes, by name. It becomes the metric's buffers, which no checkpoint holds.
    sums
        What the sums begin from, by name.
    settings
        What else two metrics of one class can differ in.
    ignore_index
        The target of examples that are left out.
    **kwargs
        Of `torchmetrics.Metric`.
    """

    full_state_update: bool = False
    is_differentiable: bool = False
    needed: int | None = 1
    """How many classes of a ranking have to be known; None if nodes will do as well."""

    def __init__(
        self,
        num_classes: int,
        tables: Mapping[str, Tensor],
        sums: Mapping[str, Tensor],
        settings: Sequence[object] = (),
        ignore_index: int | None = -100,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.num_classes = num_classes
        self.ignore_index = ignore_index
        self.passes_over = False
        """Whether predictions that do not say enough count nothing, as in a report; else they are an error."""
        for name, table in tables.items():
            self.register_buffer(name, table, persistent=False)
        # A MetricCollection takes two metrics for one if their states have the same names and, after the first batch,
        # the same values, as those of two matrices have where nothing was mistaken. So the names tell them apart.
        digest = _digest([type(self).__name__, num_classes, ignore_index, *settings], tables)
        self._names = {name: f"{name}_{digest}" for name in sums}
        for name, start in sums.items():
            self.add_state(self._names[name], start, dist_reduce_fx="sum")

    def update(self, preds: Predicted, target: Tensor | None = None) -> None:
        """Count a batch in.

        Parameters
        ----------
        preds
            Logits or probabilities, of shape (N, C) or (N, C, d1, ...); class indices, of the shape of the target;
            rankings, class indices of shape (N, k) or (N, k, d1, ...), best first; or what `simloss.back_off` returns.
        target
            Class indices, of shape (N) or (N, d1, ...).

        Raises
        ------
        TypeError, ValueError, IndexError
            If dtypes or shapes do not fit, a score is NaN, a class index is out of bounds, or the predictions do not
            say what the metric needs to know.
        """
        batch = read_predictions(preds, target, self.num_classes, self.ignore_index)
        if not self._is_enough(batch):
            if self.passes_over:
                return
            raise ArgumentError(f"preds must be {self._wanted()}; got {batch.kind()}")
        for name, value in self._sums(batch).items():
            setattr(self, self._names[name], self.sum_of(name) + value)

    def sum_of(self, name: str) -> Tensor:
        """Return a sum over all that was counted."""
        found: Tensor = getattr(self, self._names[name])
        return found

    def compute(self) -> Float[Tensor, ""]:
        """Return the value of all that was counted, in torch's default dtype; NaN where that is nothing."""
        return self.value().to(self.dtype)

    @abstractmethod
    def value(self) -> Float[Tensor, ""]:
        """Return the value of what this process has counted, in float64."""

    def plot(self, val: Any = None, ax: Any = None) -> Any:
        """Plot values, those that were computed or the present one; returns figure and axes, as in torchmetrics."""
        return self._plot(val, ax)

    @abstractmethod
    def _sums(self, batch: Predictions) -> Mapping[str, Tensor | int]:
        """Return what a batch adds to each of the sums."""

    def _is_enough(self, batch: Predictions) -> bool:
        """Tell whether a batch says what the metric needs to know."""
        return self.needed is None or batch.has_ranking(self.needed)

    def _wanted(self) -> str:
        return "scores or class indices" if self.needed == 1 else f"scores, or rankings of {self.needed} classes"

    def _apply(  # type: ignore[override]  # torchmetrics' own does not take the `recurse` of to_empty
        self, fn: Callable[[Tensor], Tensor], exclude_state: Sequence[str] = "", **_recurse: bool
    ) -> nn.Module:
        """Apply a move or a cast, of which only the device counts: sums and distances keep all their digits.

        The meta device has no values, so all stays where it is. Nothing here is ever on it, but the number by which
        torchmetrics finds out where a metric is that was made under it.
        """

        def moved(tensor: Tensor) -> Tensor:
            device = fn(tensor.new_empty(0)).device
            if device.type == "meta":
                return tensor
            return torch.zeros_like(tensor, device=device) if tensor.is_meta else tensor.to(device)

        return super()._apply(moved, exclude_state)


class MeanOverExamples(SumsOverExamples):
    """The mean of a number an example, of all examples or of some; or a ratio of two sums.

    Parameters
    ----------
    num_classes, tables, settings, ignore_index, **kwargs
        As in `SumsOverExamples`.
    """

    def __init__(
        self,
        num_classes: int,
        tables: Mapping[str, Tensor],
        ignore_index: int | None = -100,
        settings: Sequence[object] = (),
        **kwargs: Any,
    ) -> None:
        sums = {
            "sum": torch.zeros((), dtype=torch.float64, device="cpu"),
            "count": torch.zeros((), dtype=torch.int64, device="cpu"),
        }
        super().__init__(num_classes, tables, sums, settings, ignore_index, **kwargs)

    def value(self) -> Float[Tensor, ""]:
        """Return the mean over what this process has counted, in float64; NaN where that is nothing."""
        mean: Tensor = self.sum_of("sum") / self.sum_of("count")
        return mean

    def _sums(self, batch: Predictions) -> Mapping[str, Tensor | int]:
        values = self._values(batch.ranked(self.needed or 1), batch.labels)
        return {"sum": values.sum(dtype=torch.float64), "count": values.numel()}

    def _values(self, ranked: Int[Tensor, "n k"], labels: Int[Tensor, " n"]) -> Tensor:
        """Return the numbers to take the mean of, for predictions, best first, and true classes."""
        raise NotImplementedError


def _digest(settings: Sequence[object], tables: Mapping[str, Tensor]) -> str:
    """Return eight characters that differ where the settings or the tables do."""
    found = zlib.crc32(repr(settings).encode())
    for name, table in tables.items():
        found = zlib.crc32(f"{name} {table.dtype} {tuple(table.shape)}".encode(), found)
        found = zlib.crc32(table.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data, found)
    return f"{found:08x}"
