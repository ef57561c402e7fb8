"""The losses from a matrix in shards are those from the same matrix in one file, and read no more than their part."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
from scipy.sparse import csr_array
from torch import Tensor

import simmatrix
from simloss import ClassParallelSimLoss, LinearSimLoss, SimilarityWarning, SimLoss, Sparse
from simloss.errors import ArgumentError
from simloss.forms import columns_of
from simmatrix.errors import ClassOrderError
from tests.simmatrix.peak import BYTES, SHARDS, most_held, write_large

C = 70


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return the same matrix in one file and in shards; a row has a few entries, and the matrix is not symmetric."""
    folder = tmp_path_factory.mktemp("files")
    rng = np.random.default_rng(0)
    values = rng.random((C, C)) * (rng.random((C, C)) < 0.06)
    np.fill_diagonal(values, 1)
    matrix = simmatrix.SimilarityMatrix(csr_array(values.astype(np.float32)), [f"class {index}" for index in range(C)])
    one, several = folder / "one.safetensors", folder / "several.safetensors.index.json"
    matrix.save(one)
    matrix.save(several, shards=7)
    return one, several


def loss_and_slopes(criterion: SimLoss, features: Tensor, target: Tensor) -> list[Tensor]:
    torch.manual_seed(0)
    for parameter in criterion.parameters():
        torch.nn.init.normal_(parameter)
    features = features.clone().requires_grad_()
    loss = criterion(features, target)
    loss.backward()
    return [loss.detach(), features.grad, *(parameter.grad for parameter in criterion.parameters())]


def test_whole_losses_are_the_same(files: tuple[Path, Path]) -> None:
    one, several = files
    target = torch.arange(C)
    logits, features = torch.randn(C, C), torch.randn(C, 5)
    for pair, given in (
        ([SimLoss.from_file(path) for path in files], logits),
        ([LinearSimLoss.from_file(path, 5, share=0.4, bias=True) for path in files], features),
    ):
        expected, found = (loss_and_slopes(criterion, given, target) for criterion in pair)
        assert all(map(torch.equal, found, expected))
        assert pair[0].classes == pair[1].classes
    # The fingerprint that a checkpoint keeps is that of names and numbers, however they are kept.
    assert SimLoss.from_file(one).fingerprint == SimLoss.from_file(several).fingerprint


def parts(path: Path, size: int, **options: object) -> list[ClassParallelSimLoss]:
    return [ClassParallelSimLoss.from_file(path, rank, size, **options) for rank in range(size)]


def test_each_process_has_its_columns(files: tuple[Path, Path]) -> None:
    one, several = files
    whole = SimLoss.from_file(one).similarity
    assert isinstance(whole, Sparse)
    for size in (1, 2, 3, 7, 69, 80):
        most = -(-C // size)
        for rank, (first, second) in enumerate(zip(parts(one, size), parts(several, size), strict=True)):
            expected = range(min(rank * most, C), min((rank + 1) * most, C))
            assert first.columns == second.columns == expected
            assert first.num_classes == second.num_classes == C
            assert first.classes == second.classes == simmatrix.load(one).classes
            for form in (first.similarity, second.similarity):
                assert all(map(torch.equal, form, columns_of(whole, expected.start, expected.stop, C)))
    # In another order of the classes the whole is read, and the same comes out.
    names = simmatrix.load(one).classes[::-1]
    for first, second in zip(parts(one, 3, classes=names), parts(several, 3, classes=names), strict=True):
        assert first.classes == second.classes == names
        assert all(map(torch.equal, first.similarity, second.similarity))
    with pytest.raises(ClassOrderError):
        ClassParallelSimLoss.from_file(several, 0, 2, classes=[*names[1:], "other"])


def test_no_more_than_a_few_shards_are_held_beside_the_part(tmp_path: Path) -> None:
    """A shard has 2 MB, and takes a few times that while it is checked."""
    write_large(path := tmp_path / "large.safetensors.index.json")
    imports = "import simloss, warnings; warnings.simplefilter('ignore')"
    for size in (2, 8):
        held = most_held(path, f"simloss.ClassParallelSimLoss.from_file(path, 1, {size})", imports)
        assert BYTES / size <= held <= BYTES / size + 8 * BYTES / SHARDS, held


def test_a_process_alone_computes_the_loss(files: tuple[Path, Path]) -> None:
    one, several = files
    logits, target = torch.randn(C, C), torch.arange(C)
    for options in ({}, {"share": 0.4, "similarity_smoothing": 0.1, "weight": torch.rand(C)}):
        expected = loss_and_slopes(SimLoss.from_file(one, **options), logits, target)
        dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
        try:
            for criterion in (
                ClassParallelSimLoss.from_file(several, **options),
                ClassParallelSimLoss.from_file(several, 0, 1, **options),
                ClassParallelSimLoss(simmatrix.load(several), **options),
            ):
                found = loss_and_slopes(criterion, logits, target)
                for a, b in zip(found, expected, strict=True):
                    torch.testing.assert_close(a, b, rtol=2e-6, atol=1e-7)
                assert "columns=0:70" in repr(criterion)
        finally:
            dist.destroy_process_group()


def test_what_has_no_meaning_is_refused(files: tuple[Path, Path], tmp_path: Path) -> None:
    for path in files:
        for arguments, options in (((0,), {}), ((2, 2), {}), ((-1, 2), {}), ((0, 2), {"columns": 5})):
            with pytest.raises(ArgumentError, match="rank"):
                ClassParallelSimLoss.from_file(path, *arguments, **options)
        with pytest.raises(NotImplementedError, match="label smoothing"):
            ClassParallelSimLoss.from_file(path, 0, 2, label_smoothing=0.1)
        with pytest.raises(ArgumentError, match="weight must have shape"):
            ClassParallelSimLoss.from_file(path, 0, 2, weight=torch.ones(3))
    # The warning is about the whole matrix, not about these columns.
    full = csr_array(np.full((C, C), 0.999, np.float32) + np.eye(C, dtype=np.float32) * np.float32(0.001))
    full.data[full.data > 0.9995] = 1
    simmatrix.SimilarityMatrix(full, [str(index) for index in range(C)]).save(tmp_path / "full.safetensors.index.json")
    with pytest.warns(SimilarityWarning, match="at an influence of 68.9"):
        ClassParallelSimLoss.from_file(tmp_path / "full.safetensors.index.json", 1, 2)
