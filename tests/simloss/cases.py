"""Inputs and yardsticks that several tests of the loss share."""

from collections.abc import Callable

import torch
from torch import Tensor

from simloss.autograd import Batch, Held, index_loss
from simloss.forms import Dense, Similarity, Sparse, Toeplitz


def random_similarity(classes: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return a matrix that is not symmetric, so that a row taken for a column shows; some of its entries are 0."""
    generator = torch.Generator().manual_seed(seed)
    values = torch.rand(classes, classes, generator=generator)
    values[values < 0.2] = 0.0
    return values.fill_diagonal_(1.0).to(dtype)


def random_toeplitz(classes: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return a matrix with one value on each diagonal, not symmetric; some of its diagonals are 0."""
    diagonals = torch.rand(2 * classes - 1, generator=torch.Generator().manual_seed(seed))
    diagonals[diagonals < 0.2] = 0.0
    diagonals[classes - 1] = 1.0
    return torch.stack([diagonals[classes - 1 - row : 2 * classes - 1 - row] for row in range(classes)]).to(dtype)


def sparse_of(similarity: Tensor) -> Sparse:
    crow_indices = torch.nn.functional.pad((similarity != 0).sum(1).cumsum(0), (1, 0))
    return Sparse(crow_indices, similarity.nonzero()[:, 1].int(), similarity[similarity != 0])


def in_form(form: str, classes: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> tuple[Similarity, Tensor]:
    """Return a random matrix in the form of this name, and as a dense tensor."""
    similarity = (random_toeplitz if form == "toeplitz" else random_similarity)(classes, seed, dtype)
    if form == "toeplitz":
        return Toeplitz(torch.cat([similarity[1:, 0].flip(0), similarity[0]])), similarity
    return (sparse_of(similarity) if form == "sparse" else Dense(similarity)), similarity


def random_logits(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32, scale: float = 3.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed + 1)
    return (scale * torch.randn(*shape, generator=generator)).to(dtype)


def random_labels(*shape: int, classes: int, seed: int = 0) -> Tensor:
    return torch.randint(0, classes, shape, generator=torch.Generator().manual_seed(seed + 2))


def random_distribution(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return class probabilities along dimension 1, or 0 if there is only one; a tenth of them 0."""
    generator = torch.Generator().manual_seed(seed + 3)
    values = torch.rand(*shape, generator=generator)
    values[values < 0.1] = 0.0
    return (values / values.sum(0 if len(shape) == 1 else 1, keepdim=True)).to(dtype)


def random_weight(classes: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.rand(classes, generator=torch.Generator().manual_seed(seed + 4)).add(0.5).to(dtype)


def class_loss(
    logits: Tensor, labels: Tensor, similarity: Similarity, reduction: str = "sum", mix: Tensor | None = None
) -> Tensor:
    """Return the loss of class indices before the public surface rounds and reshapes it."""
    return index_loss(logits, Batch(labels, Held(similarity, mix, None), None, -100, reduction))


def value_and_gradient(
    loss: Callable[[Tensor], Tensor], logits: Tensor, upstream: Callable[[Tensor], Tensor] = torch.ones_like
) -> tuple[Tensor, Tensor]:
    """Return the loss of the logits and its gradient, for an upstream gradient made from the value."""
    leaf = logits.detach().clone().requires_grad_()
    value = loss(leaf)
    value.backward(upstream(value.detach()))
    return value.detach(), leaf.grad


def eager_sim_loss(logits: Tensor, labels: Tensor, similarity: Tensor) -> Tensor:
    """Return the loss as one writes it with log_softmax, in the dtype of the logits: the budget for rounding errors."""
    return -(logits.log_softmax(1) + similarity[labels].log().to(logits.dtype)).logsumexp(1)


def uneven(value: Tensor) -> Tensor:
    """Return an upstream gradient that is neither 1 nor uniform; powers of two, so that it adds no rounding."""
    return torch.pow(2.0, torch.arange(value.numel()) % 5 - 2).reshape(value.shape).to(value.dtype)


def assert_within_budget(value: Tensor, budget: Tensor, exact: Tensor) -> None:
    """Fail if the value is further from the exact one than the budget is, plus one unit in its last place.

    All are compared where the exact value is finite; elsewhere they must say the same.
    """
    assert value.shape == exact.shape
    finite = exact.isfinite()
    torch.testing.assert_close(value[~finite].double(), exact[~finite].double(), rtol=0, atol=0, equal_nan=True)
    if not finite.any():
        return
    scale = exact[finite].abs().max().item()
    allowed = (budget - exact)[finite].abs().max().item() + torch.finfo(value.dtype).eps * scale
    error = (value - exact)[finite].abs().max().item()
    assert error <= allowed, f"error {error:.3g}, allowed {allowed:.3g}"
