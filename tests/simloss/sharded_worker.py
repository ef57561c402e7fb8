"""What each of the processes does that tests/simloss/test_constants.py starts: sharded models that hold a criterion."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict, set_model_state_dict
from torch.distributed.fsdp import fully_shard

from tests.simloss.holders import MAKERS

WHOLE = StateDictOptions(full_state_dict=True)


def deferred(make: Callable[[], nn.Module], state: dict[str, Tensor]) -> nn.Module:
    """Return a sharded model that was made without memory and then loaded."""
    with torch.device("meta"):
        model = make()
    fully_shard(model.head)
    fully_shard(model)
    model.to_empty(device="cpu")
    set_model_state_dict(model, state, options=WHOLE)
    return model


def losses_of(make: Callable[[], nn.Module], state: dict[str, Tensor], features: Tensor, labels: Tensor) -> Tensor:
    """Return the loss of a sharded model, that after a step, and that of what was saved then and loaded."""
    model = deferred(make, state)
    first = model(features, labels)
    first.backward()
    torch.optim.SGD(model.parameters(), lr=1.0).step()
    second = model(features, labels)
    loaded = deferred(make, get_model_state_dict(model, options=WHOLE))
    return torch.stack([first, second, loaded(features, labels)]).detach()


def work(rank: int, size: int, folder: Path) -> None:
    """Run all models as one of the processes, and write what came out."""
    warnings.simplefilter("error")
    warnings.filterwarnings("ignore", "at an influence of")  # as random similarities have much of it
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)  # which fills memory with rubbish
    dist.init_process_group("gloo", init_method=f"file://{folder / 'meeting'}", rank=rank, world_size=size)
    features, labels, states = torch.load(folder / "given.pt")
    found = {name: losses_of(MAKERS[name], state, features, labels) for name, state in states.items()}
    torch.save(found, folder / f"{rank}.pt")
    dist.barrier()
    dist.destroy_process_group()
    # At the end of a process torch destroys threads of its own that still run, which now and then aborts the process.
    sys.stdout.flush()
    os._exit(0)
