"""How `SimLoss` and its heirs hold their similarity: it moves with a model, and can be bounded from below."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Self

import torch
from torch import Tensor, nn

from simloss.forms import Dense, Similarity, Sparse, Toeplitz, from_tensors
from simmatrix.shapes import Float

__all__ = ["HoldsSimilarity", "keeping_dtype"]

# The name of the buffer with the numbers of the similarity that was given, where those in use are others.
_GIVEN = "given_similarity"
# Numbers bounded at a time, 16 MiB in float64.
_BLOCK = 2**21


class HoldsSimilarity(nn.Module):
    """A module with a similarity in buffers: it moves from device to device, but keeps its dtype where a model is cast.

    The buffers are not persistent, so no checkpoint has them.
    """

    # Of the class: a module that was pickled when there was no bound has none of its own.
    _lower_bound = 0.0

    def _hold(self, form: Similarity) -> None:
        """Take a similarity as it is; called once, by the constructor."""
        self._names = [f"similarity_{name}" for name in form._fields]
        for name, tensor in zip(self._names, form, strict=True):
            self.register_buffer(name, tensor, persistent=False)

    @property
    def similarity(self) -> Tensor | Sparse | Toeplitz:
        """The similarity in the form that the loss holds, under its lower bound; a dense one is a plain tensor."""
        form = self._form()
        return form.values if isinstance(form, Dense) else form

    @property
    def lower_bound(self) -> float:
        """The l in [0, 1) of max(0, (S - l) / (1 - l)), which the loss uses in place of the S that it was given.

        0 at first, and it may be set at any time, higher or lower: it is S that is bounded, not what an earlier bound
        left. The result is computed in float64 (in float32 on devices without), and rounded once to the dtype of S.

        Nothing waits for the device. The first bound other than 0 takes memory for S a second time, since S as it was
        given is kept; later ones write to the same memory, where compiled code and a CUDA graph find it. So set a bound
        before a CUDA graph is captured. A checkpoint knows nothing of it: set it again after a restart.

        A graph that waits for its backward pass has its gradient already, that of the bound of its forward pass. Where
        the gradient has to be computed again, as in a second backward pass, torch raises its error for tensors that
        were changed in place.

        Raises
        ------
        ValueError
            If it is set to what is not in [0, 1).

        Examples
        --------
        From more similarity to less, epoch by epoch:

        >>> from simloss import SimLoss
        >>> criterion = SimLoss(torch.tensor([[1.0, 0.6], [0.6, 1.0]]))
        >>> for epoch in range(3):
        ...     criterion.lower_bound = 0.25 * epoch
        ...     print(f"{criterion.similarity[0, 1]:.2f}")  # train an epoch here
        0.60
        0.47
        0.20
        """
        return self._lower_bound

    @lower_bound.setter
    def lower_bound(self, bound: float) -> None:
        bound = float(bound)
        if not 0.0 <= bound < 1.0:
            raise ValueError(f"lower_bound must be in [0, 1), got {bound}; 0 uses the similarity as it was given")
        if bound == self._lower_bound:
            return
        name = self._names[-1]
        # Tensors made in inference mode could not be used in training.
        with torch.inference_mode(False):
            if _GIVEN in self._buffers:
                # Until all is written it is no bound's, so that after an interruption any bound can be set again.
                self._lower_bound = math.nan
                if self.get_buffer(name).is_inference():  # as of a copy that was made in inference mode
                    setattr(self, name, torch.empty_like(self.get_buffer(_GIVEN)))
                _write_bounded(self.get_buffer(_GIVEN), bound, self.get_buffer(name))
            else:
                given = self.get_buffer(name)
                written = torch.empty_like(given)
                _write_bounded(given, bound, written)
                self.register_buffer(_GIVEN, given, persistent=False)
                setattr(self, name, written)
        self._lower_bound = bound

    def _form(self) -> Similarity:
        return from_tensors([self.get_buffer(name) for name in self._names])

    def _bound_repr(self) -> str:
        """Return what the representation says of the lower bound, which is nothing where there is none."""
        return f", lower_bound={self.lower_bound}" if self.lower_bound else ""

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Apply a move or a cast, from which the similarity takes the device only: bfloat16 would blur it for good."""
        with keeping_dtype(self, *self._names, _GIVEN):
            super()._apply(fn, recurse)  # type: ignore[no-untyped-call]  # torch has no types for it
        return self


@contextmanager
def keeping_dtype(module: nn.Module, *names: str) -> Iterator[None]:
    """Let a move or a cast of a module change the device alone of these buffers, where it has them."""
    kept = {name: module.get_buffer(name) for name in names if name in module._buffers}
    yield
    for name, tensor in kept.items():
        moved = module.get_buffer(name)
        if moved.dtype != tensor.dtype:
            setattr(module, name, tensor.to(moved.device))


def _write_bounded(given: Float[Tensor, "*shape"], bound: float, out: Float[Tensor, "*shape"]) -> None:
    """Write max(0, (s - l) / (1 - l)) of each number, a block of rows at a time."""
    # Tensors on the device, since a division by a number from the host may become a product with its inverse there:
    # with both differences and the quotient rounded alike, what is 1 stays 1.
    wide = torch.float32 if given.device.type == "mps" else torch.float64
    least = torch.full((), bound, dtype=wide, device=given.device)
    span = 1 - least
    height = max(1, _BLOCK * given.shape[0] // max(given.numel(), 1))
    for block, place in zip(torch.split(given, height), torch.split(out, height), strict=True):
        place.copy_(block.to(wide, copy=True).sub_(least).div_(span).clamp_(min=0))
