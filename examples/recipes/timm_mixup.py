"""timm: its task of classification, with Mixup's soft targets, averaged weights (EMA) and bfloat16 autocast."""

from __future__ import annotations

import torch
from digits import digits, matrix
from timm.data import Mixup
from timm.models import create_model
from timm.optim import create_optimizer_v2
from timm.task import ClassificationTask
from torch.utils.data import DataLoader, TensorDataset

import simloss


def main(epochs: int = 8) -> tuple[float, float]:
    """Train a small network, and return the accuracy of its weights and that of their average."""
    torch.manual_seed(0)
    data = digits()
    # Targets of two classes an image are computed class by class, nearly as quickly as labels.
    criterion = simloss.SimLoss(matrix(), share=0.4, similarity_smoothing=0.05)
    task = ClassificationTask(create_model("test_resnet", num_classes=10, in_chans=1), criterion)
    task.setup_ema(decay=0.9)
    mixup = Mixup(mixup_alpha=0.2, num_classes=10)
    optimiser = create_optimizer_v2(task.get_trainable_module(), opt="adamw", lr=3e-3)
    enlarged = torch.nn.Upsample(scale_factor=4)
    for _epoch in range(epochs):
        for pixels, labels in DataLoader(TensorDataset(*data.training), 64, shuffle=True, drop_last=True):
            mixed, targets = mixup(enlarged(pixels), labels)
            optimiser.zero_grad()
            with torch.autocast("cpu", torch.bfloat16):
                loss = task(mixed, targets)["loss"]
            loss.backward()
            optimiser.step()
            task.update_ema()

    @torch.no_grad()
    def accuracy(network: torch.nn.Module) -> float:
        pixels, labels = data.test
        return (network.eval()(enlarged(pixels)).argmax(1) == labels).double().mean().item()

    return accuracy(task.get_eval_model()), accuracy(task.get_eval_model(ema=True))


if __name__ == "__main__":
    print("accuracy {:.3f}, of the average {:.3f}".format(*main()))
