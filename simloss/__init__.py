"""The loss: class similarities in cross entropy, for PyTorch.

    criterion = SimLoss.from_file("cifar100.safetensors", classes=train_set.classes)
    loss = criterion(logits, target)

This is the only package here that imports torch. It reads similarity matrices and builds none; `simmatrix` does that.
The metrics are in `simloss.metrics`: importing them imports torchmetrics.
"""

from simloss.baselines import SimilarityLabelSmoothingLoss, SoftLabelLoss
from simloss.decisions import minimum_risk
from simloss.errors import SimilarityWarning
from simloss.forms import Sparse, Toeplitz
from simloss.linear import LinearSimLoss, linear_sim_loss
from simloss.loss import SimLoss, sim_loss
from simloss.parallel import ClassParallelSimLoss, class_parallel_sim_loss, shard_similarity
from simmatrix.version import __version__

__all__ = [
    "ClassParallelSimLoss",
    "LinearSimLoss",
    "SimLoss",
    "SimilarityLabelSmoothingLoss",
    "SimilarityWarning",
    "SoftLabelLoss",
    "Sparse",
    "Toeplitz",
    "__version__",
    "class_parallel_sim_loss",
    "linear_sim_loss",
    "minimum_risk",
    "shard_similarity",
    "sim_loss",
]
