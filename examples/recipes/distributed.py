"""Several processes: DistributedDataParallel, and FSDP2, whose weights are divided among the processes.

    torchrun --nproc-per-node 2 examples/recipes/distributed.py ddp
    torchrun --nproc-per-node 2 examples/recipes/distributed.py fsdp2

The criterion has no weights and no buffers, so neither wraps it: each process has a whole matrix. For classes that are
divided among processes there is `simloss.ClassParallelSimLoss`.
"""

from __future__ import annotations

import sys

import torch
import torch.distributed as dist
from digits import digits, matrix
from torch import nn
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset

import simloss


def train(kind: str, epochs: int = 5) -> float:
    """Train in this process, together with the others, and return the accuracy on test data."""
    torch.manual_seed(0)
    model: nn.Module = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    if kind == "ddp":
        model = DistributedDataParallel(model)
    else:
        fully_shard(model, mesh=dist.init_device_mesh("cpu", (dist.get_world_size(),)))
    criterion = simloss.SimLoss(matrix(), share=0.4, similarity_smoothing=0.05)
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-2)
    data = digits()
    training = TensorDataset(*data.training)
    sampler: DistributedSampler[tuple[torch.Tensor, ...]] = DistributedSampler(training)
    for epoch in range(epochs):
        sampler.set_epoch(epoch)
        for pixels, labels in DataLoader(training, 32, sampler=sampler):
            optimiser.zero_grad()
            # Gradients are averaged over the processes, so the mean over the batch of each is right.
            criterion(model(pixels), labels).backward()
            optimiser.step()
    pixels, labels = data.test
    with torch.no_grad():
        return (model(pixels).argmax(1) == labels).double().mean().item()


def main() -> None:
    """Join the other processes, train, and say how good the model is."""
    dist.init_process_group("gloo")
    try:
        accuracy = train(sys.argv[1])
        if dist.get_rank() == 0:
            print(f"accuracy {accuracy:.3f}")
    finally:
        dist.destroy_process_group()


if __name__ == "__main__":
    main()
