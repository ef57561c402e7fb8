"""The recipes: each is run as a reader runs it, in a process of its own, and learns."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

RECIPES = Path(__file__).parents[2] / "examples" / "recipes"
# The digits are ten classes; a network that learnt nothing has an accuracy of about 0.1.
LEARNT = 0.9
# torchvision, which timm, Lightning and transformers import, declares fakes of two operators that its library brings,
# and that library asks for a CUDA build of torch. Beside the CPU build they are declared by hand. No recipe uses them.
DECLARED = """
import importlib.util, torch
if importlib.util.find_spec("torchvision") and not torch.backends.cuda.is_built():
    library = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        library.define(name + "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("site")
    (folder / "sitecustomize.py").write_text(DECLARED, encoding="utf-8")
    return {**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{RECIPES}", "OMP_NUM_THREADS": "1"}


def run(environment: dict[str, str], *command: str) -> str:
    found = subprocess.run(
        [sys.executable, *command], cwd=RECIPES, env=environment, capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, f"{command}: {found.stderr[-3000:]}"
    return found.stdout


def accuracy(output: str) -> float:
    """Return the last accuracy that a recipe printed."""
    return float(re.findall(r"accuracy (?:of pixels )?([0-9.]+)", output)[-1])


@pytest.mark.recipes
@pytest.mark.parametrize("recipe", ["plain", "timm_mixup", "skorch_net", "keras_loss", "boosted_trees"])
def test_a_recipe_learns(environment: dict[str, str], recipe: str) -> None:
    assert accuracy(run(environment, f"{recipe}.py")) > LEARNT


@pytest.mark.recipes
def test_kerass_loss_is_sim_loss(environment: dict[str, str]) -> None:
    """The mean and the gradient, of labels in a column, as Keras hands them on."""
    code = (
        "import torch, simloss; from keras_loss import *\n"
        "logits = torch.randn(40, 10, generator=torch.Generator().manual_seed(0)).requires_grad_()\n"
        "labels = torch.arange(40) % 10\n"
        "ours = simloss.SimLoss(matrix(), share=0.4)(logits, labels)\n"
        "theirs = KerasSimLoss(share=0.4)(labels[:, None], logits)\n"
        "gradients = [torch.autograd.grad(loss, logits)[0] for loss in (ours, theirs)]\n"
        "print((ours - theirs).abs().item(), (gradients[0] - gradients[1]).abs().max().item())"
    )
    differences = [float(one) for one in run(environment, "-c", code).split()]
    # Of a mean of about 2 in float32, which Keras sums up in another order.
    assert max(differences) < 1e-6


@pytest.mark.recipes
def test_two_processes_learn_in_both_ways(environment: dict[str, str]) -> None:
    start = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "distributed.py")
    for kind in ("ddp", "fsdp2"):
        assert accuracy(run(environment, *start, kind)) > LEARNT, kind


@pytest.mark.recipes
def test_segmentation_learns_more_than_the_background(environment: dict[str, str]) -> None:
    code = (
        "import segmentation as s; _, t = s.pictures(*s.digits().test); "
        "print((t == s.VOID).sum().item() / (t != s.IGNORED).sum().item())"
    )
    background = float(run(environment, "-c", code))
    assert accuracy(run(environment, "segmentation.py")) > background + 0.15


@pytest.mark.recipes
def test_many_classes_are_learnt(environment: dict[str, str]) -> None:
    before, after = map(float, re.findall(r"[0-9.]+", run(environment, "many_classes.py")))
    assert after < before / 4


@pytest.mark.recipes
def test_the_trainer_accumulates_and_loads(environment: dict[str, str]) -> None:
    """Four batches of 16 change the weights as one of 64 does, and the loaded model is the trained one."""
    code = (
        "import tempfile, torch; from huggingface_trainer import *\n"
        "with tempfile.TemporaryDirectory() as folder:\n"
        "    (one, figures), (other, _) = (train(folder, *sizes, epochs=2) for sizes in ((16, 4), (64, 1)))\n"
        "weights = zip(one.state_dict().items(), other.state_dict().values())\n"
        "print(max((a - b).abs().max().item() for (_, a), b in weights), *one.state_dict(), sep='\\n')\n"
        "pixels, labels = digits().test\n"
        "right = (one.eval()(pixels).logits.argmax(1) == labels).double().mean().item()\n"
        "print('accuracy', right, 'evaluated', figures['eval_accuracy'])\n"
        "print('loss', one.criterion(one(pixels).logits, labels).item() / len(labels), figures['eval_loss'])"
    )
    output = run(environment, "-c", code)
    difference, *names = re.search(r"^([0-9.e-]+)\n((?:layers.*\n)+)", output, re.M).groups()
    assert float(difference) < 1e-4
    assert "similarity" not in str(names)
    right, evaluated = map(float, re.search(r"accuracy (\S+) evaluated (\S+)", output).groups())
    assert right > 0.8
    assert evaluated == pytest.approx(right, abs=1e-6)
    ours, logged = map(float, re.search(r"^loss (\S+) (\S+)", output, re.M).groups())
    assert logged == pytest.approx(ours, rel=1e-4)


@pytest.mark.recipes
def test_lightning_logs_and_resumes_and_counts_over_processes(environment: dict[str, str], tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from lightning_module import train\n"
        "if __name__ == '__main__':\n"
        "    folder = Path(sys.argv[1])\n"
        "    whole = train(folder / 'whole', 4)\n"
        "    train(folder / 'half', 2)\n"
        "    resumed = train(folder / 'half', 4, folder / 'half' / 'last.ckpt')\n"
        "    two = train(folder / 'two', 4, processes=2)\n"
        "    for name in ('whole', 'resumed', 'two'):\n"
        "        print(f'{name}: {globals()[name]}')"
    )
    script = tmp_path / "script.py"
    script.write_text(code, encoding="utf-8")
    output = run(environment, str(script), str(tmp_path))
    found = {name: float(value) for name, value in re.findall(r"^(\w+): .*?'accuracy': ([0-9.]+)", output, re.M)}
    assert set(found) == {"whole", "resumed", "two"}
    assert min(found.values()) > 0.85
    assert all(name in output for name in ("'severity'", "'superclass_accuracy'", "'loss'"))


@pytest.mark.recipes
def test_a_checkpoint_is_refused_for_another_matrix(environment: dict[str, str]) -> None:
    resumed, refused = run(environment, "checkpoint.py").splitlines()
    assert re.fullmatch(r"resumed with [0-9a-f]{16}", resumed)
    assert refused.startswith("refused: digits.pt was trained with the loss")
