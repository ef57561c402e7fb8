"""Addresses of the Hub, with a folder laid out as the Hub's cache in its place: nothing is downloaded here."""

import sys
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import numpy as np
import pytest

import simmatrix
from simmatrix.errors import SourceError


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Lay out a model and a data set as huggingface_hub keeps them, each with one matrix, and go offline."""
    import huggingface_hub.constants as hub

    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        monkeypatch.setattr(hub, name, str(tmp_path))
    monkeypatch.setattr(hub, "HF_HUB_OFFLINE", True)
    for kind, value in (("models", 0.25), ("datasets", 0.75)):
        folder = tmp_path / f"{kind}--owner--name"
        for revision, number in (("main", "a"), ("v1", "b")):
            snapshot = folder / "snapshots" / (number * 40)
            (snapshot / "sub").mkdir(parents=True)
            (folder / "refs").mkdir(exist_ok=True)
            (folder / "refs" / revision).write_text(number * 40)
            one = value if revision == "main" else value / 2
            matrix = simmatrix.SimilarityMatrix(np.array([[1, one], [one, 1]], dtype=np.float32), ("cat", "lynx"))
            matrix.save(snapshot / "sub" / "cats.safetensors")
    return tmp_path


def test_addresses_of_models_data_sets_and_revisions(cache: Path) -> None:
    for address, expected in (
        ("hf://owner/name/sub/cats.safetensors", 0.25),
        ("hf://owner/name@v1/sub/cats.safetensors", 0.125),
        ("hf://datasets/owner/name/sub/cats.safetensors", 0.75),
    ):
        assert simmatrix.load(address)["cat", "lynx"] == expected, address


def test_addresses_that_lead_nowhere(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for address in (
        "hf://",
        "hf://owner",
        "hf://owner/name",
        "hf://owner/name/",
        "hf://datasets",
        "hf://datasets/owner",
        "hf://datasets/owner/name",
        "hf:///a/b",
    ):
        with pytest.raises(SourceError, match="is no address of the Hub"):
            simmatrix.load(address)
    for address in ("hf://owner/name/missing.safetensors", "hf://nobody/name/cats.safetensors", "hf://a b/c/d"):
        with pytest.raises(SourceError, match="can't be downloaded: ") as caught:
            simmatrix.load(address)
        assert "\n" not in str(caught.value)
    refusing = SimpleNamespace(hf_hub_download=Mock(side_effect=OSError()))
    monkeypatch.setitem(sys.modules, "huggingface_hub", refusing)
    with pytest.raises(SourceError, match="can't be downloaded: "):
        simmatrix.load("hf://owner/name/cats.safetensors")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(SourceError, match=r"pip install \"simloss\[hub\]\""):
        simmatrix.load("hf://owner/name/sub/cats.safetensors")
