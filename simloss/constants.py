"""Tensors that are part of a module, but neither trained nor saved: they move with it, and can't get lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

import torch
from torch import Tensor, nn


class HoldsConstants(nn.Module):
    """A module whose constants go where its parameters go, in their own dtype.

    Such tensors are no buffers. A buffer that is in no checkpoint holds whatever stood in its memory once a module gets
    that memory late: after a meta device and `to_empty`, as deferred initialisation does, or after `from_pretrained`.
    """

    def _device(self) -> torch.device:
        """Return where the constants are; subclasses write this."""
        raise NotImplementedError

    def _move(self, device: torch.device) -> None:
        """Move the constants to a device; subclasses write this."""
        raise NotImplementedError

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Apply a move or a cast, from which constants take the device only: bfloat16 would blur them for good.

        The meta device has no values, so they stay where they are.
        """
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]  # torch has no types for it
        device = fn(torch.empty(0, device=self._device())).device
        if device.type != "meta":
            self._move(device)
        return self
