"""Lightning: a module with the loss and the report of mistakes, logged, resumed, and trained by two processes."""

from __future__ import annotations

import tempfile
from pathlib import Path

import lightning
import torch
from digits import CLASSES, digits, matrix
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import simloss
from simloss.metrics import MistakeReport


class Classifier(lightning.LightningModule):
    """A small network, its loss and its metrics."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
        self.criterion = simloss.SimLoss(matrix(), share=0.4, similarity_smoothing=0.05)
        self.report = MistakeReport(matrix(), superclasses=CLASSES.column("shape"))

    def training_step(self, batch: list[Tensor], _index: int) -> Tensor:
        """Return the loss of a batch."""
        pixels, labels = batch
        loss: Tensor = self.criterion(self.layers(pixels), labels)
        self.log("loss", loss)
        return loss

    def validation_step(self, batch: list[Tensor], _index: int) -> None:
        """Count the mistakes of a batch."""
        pixels, labels = batch
        self.report.update(self.layers(pixels), labels)

    def on_validation_epoch_end(self) -> None:
        """Log the report, of all processes together."""
        self.log_dict(self.report.compute())
        self.report.reset()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return the optimiser."""
        return torch.optim.Adam(self.parameters(), lr=1e-2)


def train(folder: Path, epochs: int = 5, resume: Path | None = None, processes: int = 1) -> dict[str, float]:
    """Train, or go on from a checkpoint, and return what was logged last; ``last.ckpt`` is left in the folder."""
    lightning.seed_everything(0, verbose=False)
    data = digits()
    trainer = lightning.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        devices=processes,
        strategy="ddp_spawn" if processes > 1 else "auto",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[lightning.pytorch.callbacks.ModelCheckpoint(folder, save_last=True)],
        num_sanity_val_steps=0,
    )
    loaders = [DataLoader(TensorDataset(*part), 64, shuffle=part is data.training) for part in data]
    trainer.fit(Classifier(), *loaders, ckpt_path=resume)
    return {name: float(value) for name, value in trainer.callback_metrics.items()}


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        print("accuracy {accuracy:.3f}, severity {severity:.2f}".format(**train(Path(folder), processes=2)))
