"""What a call carries through every way of computing its rows.

With p = softmax(z) and the similarity row S of a label y, the loss of a row is

    scale * ((1 - share) * CE + share * -log sum_c S_c p_c)

where CE is the cross entropy of a target that gives 1 - smoothing to y, and smoothing to the other classes in
proportion to S (Kobs et al., 2020, have share = 1). A row of S without other classes keeps all for y. The gradient is

    scale * ((1 - share) * (p - target) + share * (p (1 - S) - p S b / a))        a = sum S p,  b = sum (1 - S) p
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from simmatrix.shapes import Float


class Call(NamedTuple):
    """The options of a call, as the rows need them.

    The ways of computing rows agree on this: each row has a label in [0, C), or `ignore_index`. A row to be ignored
    gets a loss and a gradient of exactly 0, whatever its logits are.
    """

    ignore_index: int
    scale: Tensor | None = None
    """What each row counts, in the work dtype, of shape () or (N); None for 1."""
    mix: Float[Tensor, " 2"] | None = None
    """The share of SimLoss and the similarity smoothing, in float64 where the device has it; None for 1 and 0.

    A tensor, so that a schedule can change both where compiled code and a CUDA graph find them.
    """

    def mixing(self, dtype: torch.dtype) -> tuple[Tensor, Tensor] | None:
        """Return share and smoothing as single numbers of this dtype, or None where SimLoss stands alone."""
        if self.mix is None:
            return None
        share, smoothing = self.mix.to(dtype).unbind()
        return share, smoothing


def mix_of(
    share: float, smoothing: float, device: torch.device, *, even_alone: bool = False
) -> Float[Tensor, " 2"] | None:
    """Return the two as the rows take them: None where SimLoss stands alone, unless asked for even then.

    No value is copied to a device, which would wait for it.
    """
    if share == 1 and not even_alone:
        return None
    dtype = torch.float32 if device.type == "mps" else torch.float64
    mix = torch.full((2,), share, dtype=dtype, device=device)
    mix[1].fill_(smoothing)
    return mix


def mixture(one: Tensor, other: Tensor, share: Tensor) -> Tensor:
    """Return share * one + (1 - share) * other, where what has no share may be infinite."""
    return torch.where(share > 0, share * one, 0.0) + torch.where(share < 1, (1 - share) * other, 0.0)
