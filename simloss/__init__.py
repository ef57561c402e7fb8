"""The loss: class similarities in cross entropy, for PyTorch.

    criterion = SimLoss.from_file("cifar100.safetensors", classes=train_set.classes)
    loss = criterion(logits, target)

This is the only package here that imports torch. It reads similarity matrices and builds none; `simmatrix` does that.
The metrics are in `simloss.metrics`: importing them imports torchmetrics.
"""

from simloss.backoff import BackOff, Curve, back_off, back_off_curve, choose_confidence
from simloss.baselines import SimilarityLabelSmoothingLoss, SoftLabelLoss
from simloss.decisions import expected_similarity, fit_temperature, minimum_risk, with_superclasses
from simloss.errors import SimilarityWarning
from simloss.forms import Sparse, Toeplitz
from simloss.linear import LinearSimLoss, linear_sim_loss
from simloss.loss import SimLoss, sim_loss
from simloss.parallel import ClassParallelSimLoss, class_parallel_sim_loss, shard_similarity
from simmatrix.version import __version__

__all__ = [
    "BackOff",
    "ClassParallelSimLoss",
    "Curve",
    "LinearSimLoss",
    "SimLoss",
    "SimilarityLabelSmoothingLoss",
    "SimilarityWarning",
    "SoftLabelLoss",
    "Sparse",
    "Toeplitz",
    "__version__",
    "back_off",
    "back_off_curve",
    "choose_confidence",
    "class_parallel_sim_loss",
    "expected_similarity",
    "fit_temperature",
    "linear_sim_loss",
    "minimum_risk",
    "shard_similarity",
    "sim_loss",
    "with_superclasses",
]
