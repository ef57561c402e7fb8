"""Hugging Face's Trainer: the loss by `compute_loss_func`, the report of mistakes by `compute_metrics`.

With gradient accumulation the Trainer adds up the losses of several small batches, and says how many examples they
have together. The sum of losses divided by that number has the gradient of one large batch; without it the mean does.
"""

from __future__ import annotations

import tempfile
from typing import Any

import torch
from digits import CLASSES, digits, matrix
from torch import Tensor, nn
from torch.utils.data import Dataset
from transformers import EvalPrediction, PretrainedConfig, PreTrainedModel, Trainer, TrainingArguments
from transformers.modeling_outputs import SequenceClassifierOutput

import simloss
from simloss.metrics import MistakeReport


class Config(PretrainedConfig):
    """The configuration of the network."""

    model_type = "digits"


class Network(PreTrainedModel):
    """A small network that holds its criterion. Checkpoints do not hold the matrix; a loaded model has it again."""

    config_class = Config
    main_input_name = "pixels"

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
        self.criterion = simloss.SimLoss(matrix(), share=0.4, similarity_smoothing=0.05, reduction="sum")
        self.post_init()

    def forward(self, pixels: Tensor) -> SequenceClassifierOutput:
        """Return logits (N, C)."""
        return SequenceClassifierOutput(logits=self.layers(pixels))


class Pictures(Dataset[dict[str, Tensor]]):
    """Pixels and labels, as the Trainer takes them."""

    def __init__(self, pixels: Tensor, labels: Tensor) -> None:
        self.pixels, self.labels = pixels, labels

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {"pixels": self.pixels[index], "labels": self.labels[index]}


def mistakes(found: EvalPrediction) -> dict[str, float]:
    """Return accuracy, severity and the other figures of the evaluation."""
    report = MistakeReport(matrix(), superclasses=CLASSES.column("shape"))
    report.update(torch.from_numpy(found.predictions), torch.from_numpy(found.label_ids))
    return {name: float(value) for name, value in report.compute().items()}


def train(folder: str, batch: int = 16, accumulated: int = 4, epochs: int = 5) -> tuple[Network, dict[str, float]]:
    """Train a network, save it and load it, and return it with its figures."""
    torch.manual_seed(0)
    data = digits()
    model = Network(Config())

    def loss(outputs: Any, labels: Tensor, num_items_in_batch: Tensor | int | None = None) -> Tensor:
        count = labels.numel() if num_items_in_batch is None else num_items_in_batch
        return model.criterion(outputs.logits, labels) / count

    trainer = Trainer(
        model,
        TrainingArguments(
            folder,
            per_device_train_batch_size=batch,
            gradient_accumulation_steps=accumulated,
            num_train_epochs=epochs,
            learning_rate=1e-2,
            label_names=["labels"],
            report_to=[],
            use_cpu=True,
            seed=0,
            disable_tqdm=True,
        ),
        train_dataset=Pictures(*data.training),
        eval_dataset=Pictures(*data.test),
        compute_loss_func=loss,
        compute_metrics=mistakes,
    )
    trainer.train()
    trainer.save_model(folder)
    return Network.from_pretrained(folder), trainer.evaluate()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        print("accuracy {eval_accuracy:.3f}, severity {eval_severity:.2f}".format(**train(folder)[1]))
