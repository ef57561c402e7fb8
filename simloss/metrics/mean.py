"""What all metrics here have in common: each is a mean over examples, kept as a sum and a count."""

from __future__ import annotations

import zlib
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torchmetrics import Metric

from simloss.metrics.inputs import ranked_classes
from simmatrix.shapes import Float, Int

__all__ = ["MeanOverExamples"]


class MeanOverExamples(Metric):
    """The mean of a number an example, of all examples or of some.

    Parameters
    ----------
    num_classes
        C.
    tables
        What is known of the classes, by name. It becomes the metric's buffers, which no checkpoint holds.
    ignore_index
        The target of examples that are left out.
    count
        The predictions that are looked at of each example.
    **kwargs
        Of `torchmetrics.Metric`.
    """

    full_state_update: bool = False
    is_differentiable: bool = False

    def __init__(
        self,
        num_classes: int,
        tables: Mapping[str, Tensor],
        ignore_index: int | None = None,
        count: int = 1,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.num_classes = num_classes
        self.ignore_index = ignore_index
        self._predictions = count
        for name, table in tables.items():
            self.register_buffer(name, table, persistent=False)
        # A MetricCollection takes two metrics for one if their states have the same names and, after the first batch,
        # the same values, as those of two matrices have where nothing was mistaken. So the names tell them apart.
        digest = _digest([type(self).__name__, num_classes, ignore_index, count], tables)
        self._sum_name, self._count_name = f"sum_{digest}", f"count_{digest}"
        self.add_state(self._sum_name, torch.zeros((), dtype=torch.float64, device="cpu"), dist_reduce_fx="sum")
        self.add_state(self._count_name, torch.zeros((), dtype=torch.int64, device="cpu"), dist_reduce_fx="sum")

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Count a batch in.

        Parameters
        ----------
        preds
            Logits or probabilities, of shape (N, C) or (N, C, d1, ...); or class indices, of the shape of the target.
        target
            Class indices, of shape (N) or (N, d1, ...).

        Raises
        ------
        TypeError, ValueError, IndexError
            If dtypes or shapes do not fit, or a class index is out of bounds.
        """
        ranked, labels = ranked_classes(preds, target, self.num_classes, self.ignore_index, self._predictions)
        values = self._values(ranked, labels)
        setattr(self, self._sum_name, getattr(self, self._sum_name) + values.sum(dtype=torch.float64))
        setattr(self, self._count_name, getattr(self, self._count_name) + values.numel())

    def compute(self) -> Float[Tensor, ""]:
        """Return the mean over all that was counted, in torch's default dtype; NaN where that is nothing."""
        mean: Tensor = getattr(self, self._sum_name) / getattr(self, self._count_name)
        return mean.to(self.dtype)

    @abstractmethod
    def _values(self, ranked: Int[Tensor, "n k"], labels: Int[Tensor, " n"]) -> Tensor:
        """Return the numbers to take the mean of, for predictions, best first, and true classes."""

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


def _digest(settings: Sequence[object], tables: Mapping[str, Tensor]) -> str:
    """Return eight characters that differ where the settings or the tables do."""
    found = zlib.crc32(repr(settings).encode())
    for name, table in tables.items():
        found = zlib.crc32(f"{name} {table.dtype} {tuple(table.shape)}".encode(), found)
        found = zlib.crc32(table.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data, found)
    return f"{found:08x}"
