"""The loss for gradient-boosted trees: objectives and metrics for LightGBM and XGBoost, neither of which is imported.

loss = BoostingLoss(matrix, classes=np.unique(y), share=0.4)
lightgbm.LGBMClassifier(objective=loss.objective).fit(x, y)
xgboost.train({"num_class": len(matrix.classes), "disable_default_eval_metric": 1}, data, obj=loss.obj)
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
import torch
from torch import Tensor

import simmatrix
from simloss.checks import check_options, check_similarity_values
from simloss.errors import ArgumentError
from simloss.forms import Dense, Sparse, Toeplitz, class_count, rows
from simloss.loss import form_and_classes, sim_loss
from simmatrix.names import Names
from simmatrix.shapes import Float

# As in XGBoost: a row that is decided beyond all doubt still has a curvature to divide by.
_LEAST_HESSIAN = 1e-16


class _Data(Protocol):
    """What `lightgbm.Dataset` and `xgboost.DMatrix` have in common."""

    def get_label(self) -> Any:
        """Return the class indices (N)."""

    def get_weight(self) -> Any:
        """Return the weights (N); None or nothing where each row counts 1."""


class BoostingLoss:
    """SimLoss, cross entropy, or a mixture of both, as gradient boosting takes it: with gradient and Hessian.

    The gradient is that of `SimLoss`. The Hessian is an upper bound of the true one, 2 p (1 - p) for each class, with
    p = softmax(scores), whatever the matrix, the share and the smoothing are. The true one can't be used: SimLoss is
    the difference of two convex functions, log sum exp(z) - log sum S exp(z), and its diagonal p (1 - p) - q (1 - q),
    with q = S p / sum S p, is negative where the similar classes share the probability. Leaving out the concave part
    keeps a bound, and twice the diagonal of the rest bounds its whole matrix, since each row of diag(p) - p p' has
    2 p (1 - p) as the sum of its absolute values. It is what XGBoost's own multi:softprob uses; LightGBM's own
    multiclass uses C / (C - 1) in place of 2.

    LightGBM's `LGBMClassifier` numbers the classes in sorted order: give ``classes=numpy.unique(y)``, and the matrix is
    brought into that order by name. Both libraries start at scores of 0, and predict scores with an objective that is
    not their own: probabilities are their softmax.

    Parameters
    ----------
    similarity
        S, (C, C), in [0, 1] with unit diagonal, as `SimLoss` takes it.
    classes
        Names of the classes, in the order of the labels 0 to C - 1.
    share, similarity_smoothing
        How much of the loss is SimLoss, and how much of cross entropy's target goes to similar classes; see `SimLoss`.

    Raises
    ------
    ValueError
        If the similarity's values, a share or a smoothing lie outside [0, 1]. When called: for scores that are not
        (N, C), as LightGBM gave them before version 4, and labels that are no class indices.
    simmatrix.SimilarityError
        If the classes are not those of the matrix.

    References
    ----------
    Kobs, Steininger, Zehe, Lautenschlager and Hotho, "SimLoss: Class Similarities in Cross Entropy", ISMIS 2020; for
    the bound, Boehning, "Multinomial logistic regression algorithm", Annals of the Institute of Statistical
    Mathematics 44, 1992, who bounds the same matrix by a constant.

    Examples
    --------
    >>> loss = BoostingLoss(simmatrix.from_order(["low", "middle", "high"], decay=0.5), share=0.5)
    >>> gradient, hessian = loss.objective(np.array([0, 2]), np.zeros((2, 3)))
    >>> gradient.round(3)
    array([[-0.452,  0.19 ,  0.262],
           [ 0.262,  0.19 , -0.452]])
    >>> hessian.round(3)
    array([[0.444, 0.444, 0.444],
           [0.444, 0.444, 0.444]])
    """

    def __init__(
        self,
        similarity: Tensor | Sparse | Toeplitz | simmatrix.SimilarityMatrix,
        *,
        classes: Names | None = None,
        share: float = 1.0,
        similarity_smoothing: float = 0.0,
    ) -> None:
        # What labels a scikit-learn classifier has may be numbers.
        names = classes if classes is None or isinstance(classes, Mapping | Set) else [str(name) for name in classes]
        form, self.classes = form_and_classes(similarity, names)
        check_similarity_values(form)
        check_options("sum", 0.0, share, similarity_smoothing)
        self.similarity = form
        self.share = share
        self.similarity_smoothing = similarity_smoothing

    @classmethod
    def from_file(cls, path: str | Path, *, classes: Names | None = None, **options: float) -> Self:
        """Return the loss with the matrix of a file, as `SimLoss.from_file` does."""
        return cls(simmatrix.load(path), classes=classes, **options)

    def objective(
        self, y_true: np.ndarray, y_pred: np.ndarray, weight: np.ndarray | None = None
    ) -> tuple[Float[np.ndarray, "N C"], Float[np.ndarray, "N C"]]:
        """Return gradient and Hessian: the objective of `LGBMClassifier`.

        Parameters
        ----------
        y_true
            Class indices, (N), in [0, C).
        y_pred
            Scores, (N, C).
        weight
            What each row counts, (N); None for 1.
        """
        scores, labels = self._tensors(y_true, y_pred)
        scores.requires_grad_()
        self._loss(scores, labels, "sum").backward()  # type: ignore[no-untyped-call]  # torch's
        p = scores.detach().softmax(1)
        hessian = (2 * p * (1 - p)).clamp_min_(_LEAST_HESSIAN).numpy()
        gradient: np.ndarray = scores.grad.numpy()  # type: ignore[union-attr]  # there is one
        each = _each(weight, len(labels))
        return gradient * each[:, None], hessian * each[:, None]

    def obj(self, predt: np.ndarray, dtrain: _Data) -> tuple[Float[np.ndarray, "N C"], Float[np.ndarray, "N C"]]:
        """Return gradient and Hessian: the `obj` of `xgboost.train`, and an objective of `lightgbm.train`."""
        return self.objective(dtrain.get_label(), predt, dtrain.get_weight())

    def eval_metric(
        self, y_true: np.ndarray, y_pred: np.ndarray, weight: np.ndarray | None = None
    ) -> list[tuple[str, float, bool]]:
        """Return name, value and False (less is better) of this loss, the error and the severity, as LightGBM asks.

        The error is the share of wrong classes; the severity is the mean of 1 - S over them, 0 where none is wrong.
        """
        scores, labels = self._tensors(y_true, y_pred)
        each = torch.from_numpy(_each(weight, len(labels)))
        loss = (self._loss(scores, labels, "none") * each).sum() / each.sum()
        decided = scores.argmax(1)
        wrong = each * (decided != labels)
        taken = rows(self.similarity, labels, scores.new_empty(scores.shape)).gather(1, decided[:, None])[:, 0]
        severity = (wrong * (1 - taken)).sum() / wrong.sum() if wrong.any() else wrong.sum()
        figures = {"sim_loss": loss, "error": wrong.sum() / each.sum(), "severity": severity}
        return [(name, float(value), False) for name, value in figures.items()]

    def custom_metric(self, predt: np.ndarray, dtrain: _Data) -> list[tuple[str, float]]:
        """Return name and value of the same figures: the `custom_metric` of `xgboost.train`."""
        found = self.eval_metric(dtrain.get_label(), predt, dtrain.get_weight())
        return [(name, value) for name, value, _is_higher_better in found]

    def feval(self, preds: np.ndarray, data: _Data) -> list[tuple[str, float, bool]]:
        """Return the same figures: a `feval` of `lightgbm.train`."""
        return self.eval_metric(data.get_label(), preds, data.get_weight())

    def _loss(self, scores: Tensor, labels: Tensor, reduction: str) -> Tensor:
        return sim_loss(
            scores,
            labels,
            self.similarity.values if isinstance(self.similarity, Dense) else self.similarity,
            reduction=reduction,
            share=self.share,
            similarity_smoothing=self.similarity_smoothing,
        )

    def _tensors(self, y_true: Any, y_pred: Any) -> tuple[Tensor, Tensor]:
        """Return scores (N, C) in float64, and labels (N)."""
        count = class_count(self.similarity)
        scores, labels = np.array(y_pred, dtype=np.float64), np.asarray(y_true)
        if scores.ndim != 2 or scores.shape != (len(labels), count):
            raise ArgumentError(
                f"scores of {len(labels)} rows must have shape {(len(labels), count)}, one column a class, got "
                f"{scores.shape}; LightGBM gives such scores from version 4 on, XGBoost from 2.1 on"
            )
        indices = labels.astype(np.int64)
        if (indices != labels).any() or indices.min(initial=0) < 0 or indices.max(initial=0) >= count:
            raise ArgumentError(f"labels must be class indices, 0 to {count - 1}; number them by np.unique")
        return torch.from_numpy(scores), torch.from_numpy(indices)


def _each(weight: Any, count: int) -> Float[np.ndarray, " N"]:
    """Return what each row counts."""
    return np.ones(count) if weight is None or len(weight) == 0 else np.asarray(weight, dtype=np.float64)
