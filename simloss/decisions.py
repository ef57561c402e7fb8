"""What to decide, given what a model believes: at test time, for any trained model."""

from __future__ import annotations

import torch
from torch import Tensor

import simmatrix
from simloss.checks import check_similarity
from simloss.errors import ArgumentError, DtypeError
from simloss.forms import Dense, Similarity, Sparse, Toeplitz, as_similarity, class_count, from_matrix, rows
from simmatrix.shapes import Float, Int

__all__ = ["minimum_risk"]

# Elements of S taken at a time: products of matrices this large run at full speed.
_BLOCK = 2**22


@torch.no_grad()
def minimum_risk(
    logits: Tensor, similarity: simmatrix.SimilarityMatrix | Tensor | Sparse | Toeplitz
) -> Int[Tensor, "*examples"]:
    """Return the class of each example that costs least: sum_y softmax(logits)[y] (1 - S[y, k]) is least for this k.

    Where a cost of 1 - S is what matters, this is the best decision that a calibrated model allows, however it was
    trained; the most probable class is it for the identity matrix. Of classes whose costs are equal, or so near that
    rounding could decide, the one with the greatest logit is returned, and of equal logits the first: with the identity
    matrix this is `logits.argmax`, also among nearly equal logits.

    It is computed in float64. A sparse matrix is never made dense, a Toeplitz matrix only part by part.

    Parameters
    ----------
    logits
        Of shape (C), (N, C) or (N, C, d1, ...), of any floating-point dtype. Of probabilities give the logarithm.
    similarity
        S, (C, C), in [0, 1] with unit diagonal, row y of the true class y, in the order of the logits: a tensor
        (strided or CSR), `simloss.Sparse`, `simloss.Toeplitz` or a `simmatrix.SimilarityMatrix`, for which
        `SimilarityMatrix.reorder` sets the order. The values are not checked.

    Returns
    -------
    Tensor
        Class indices, int64, of shape (), (N) or (N, d1, ...). For logits with a NaN, the index of the first one.

    Raises
    ------
    ValueError
        If the shapes do not fit each other.
    TypeError
        If logits or similarity are not of a floating-point dtype, or the similarity is none of these.
    RuntimeError
        If the tensors are on different devices, or the similarity requires a gradient.

    References
    ----------
    Karthik, Prabhu, Dokania and Gandhi, "No Cost Likelihood Manipulation at Test Time for Making Better Mistakes in
    Deep Networks", ICLR 2021.

    Examples
    --------
    An oak is most probable, but it is probably a cat of some kind.

    >>> logits = torch.tensor([0.3, 0.3, 0.4]).log()  # cat, lynx, oak
    >>> minimum_risk(logits, torch.tensor([[1.0, 0.5, 0.0], [0.5, 1.0, 0.0], [0.0, 0.0, 1.0]]))
    tensor(0)
    >>> minimum_risk(logits, torch.eye(3))
    tensor(2)
    """
    form = from_matrix(similarity) if isinstance(similarity, simmatrix.SimilarityMatrix) else as_similarity(similarity)
    _check(logits, form)
    if logits.ndim == 1:
        return _decisions(logits.unsqueeze(0), form).squeeze(0)
    shape = logits.shape[:1] + logits.shape[2:]
    return _decisions(logits.movedim(1, -1).flatten(0, -2), form).view(shape)


def _check(logits: Tensor, similarity: Similarity) -> None:
    if logits.ndim == 0:
        raise ArgumentError("logits must have shape (C), (N, C) or (N, C, d1, ...), got a single number")
    if not logits.is_floating_point():
        raise DtypeError(f"logits must be of a floating-point dtype, got {logits.dtype}")
    check_similarity(similarity)
    classes, count = logits.shape[0 if logits.ndim == 1 else 1], class_count(similarity)
    if classes != count:
        raise ArgumentError(
            f"similarity has shape {(count, count)}, but the logits of shape {tuple(logits.shape)} have {classes} "
            "classes"
        )
    for part in similarity:
        if part.device != logits.device:
            raise RuntimeError(f"similarity is on {part.device}, but the logits are on {logits.device}")


def _decisions(logits: Float[Tensor, "N C"], similarity: Similarity) -> Int[Tensor, " N"]:
    """Return the class of least cost of each row: that of the greatest sum_y e[y] S[y, k]."""
    z = logits.double()
    greatest = z.amax(1, keepdim=True)
    # Where it is infinite, z - greatest is NaN for the classes that have it, and all the others are as good as none.
    e = (z - greatest).exp_().masked_fill_(z == greatest, 1.0)
    gains = _expected(e, similarity)
    most = gains.amax(1, keepdim=True)
    # Each sum of C products of numbers that are not negative is off by C units in its last place at most.
    is_best = ~(gains < most * (1 - 2 * logits.shape[1] * torch.finfo(z.dtype).eps))  # so written, NaN is best too
    # Even a best class may have the logit -inf.
    return z.clamp_min(torch.finfo(z.dtype).min).masked_fill(~is_best, -torch.inf).argmax(1)


def _expected(e: Float[Tensor, "N C"], similarity: Similarity) -> Float[Tensor, "N C"]:
    """Return e @ S, in float64."""
    count = e.shape[1]
    if isinstance(similarity, Sparse):
        crow_indices, col_indices, values = similarity
        row_of_entry = torch.arange(count, device=e.device).repeat_interleave(crow_indices.diff())
        transposed = torch.sparse_coo_tensor(
            torch.stack([col_indices.long(), row_of_entry]), values.to(e.dtype), (count, count), check_invariants=False
        )
        return (transposed @ e.T).T
    found = torch.zeros_like(e)
    height = max(1, _BLOCK // count)
    for first in range(0, count, height):
        block = torch.arange(first, min(first + height, count), device=e.device)
        if isinstance(similarity, Dense):
            part = similarity.values[block].to(e.dtype)
        else:
            part = rows(similarity, block, e.new_empty(len(block), count))
        found.addmm_(e[:, block], part)
    return found
