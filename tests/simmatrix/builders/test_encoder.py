"""Similarities of sentence embeddings, against the library's own and against plain Python."""

import hashlib
import json
import math
import os
import pickle
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from fnmatch import fnmatch
from importlib import metadata
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from sentence_transformers.util import cos_sim
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers.utils import logging

from simmatrix.builders.encoder import encoder_similarity
from simmatrix.classes import ClassList, read_classes
from simmatrix.errors import SourceError
from tests.simmatrix.builders.minilm import MODEL

ROWS = {"rose": [1, 2, -2], "tulip": [2, 1, 0.5], "red": [-1, 0, 1], "truck": [3, -4, 0], "void": [0, 0, 0]}
WEIGHTS = "model.safetensors"
CLASSES = ClassList(("rose", "tulip", "truck"))


@pytest.fixture(scope="module")
def minilm() -> SentenceTransformer:
    return SentenceTransformer(str(MODEL), device="cpu", local_files_only=True)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a model that takes the mean of its words' vectors, as the library saves it."""
    vocabulary = {word: index for index, word in enumerate([*ROWS, "broken", "endless", "[UNK]"])}
    tokenizer = Tokenizer(WordLevel(vocabulary, "[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    rows = np.array([*ROWS.values(), [1, math.nan, 1], [1, math.inf, 1], [0, 0, 0]], dtype=np.float32)
    folder = tmp_path_factory.mktemp("models") / "tiny"
    module = StaticEmbedding(tokenizer, embedding_weights=rows, embedding_dim=3)
    SentenceTransformer(modules=[module], device="cpu").save(str(folder), create_model_card=False)
    return folder


@pytest.fixture
def tiny(saved: Path, tmp_path: Path) -> Path:
    """Return a copy of the small model, to be spoilt."""
    return Path(shutil.copytree(saved, tmp_path / "tiny"))


def copy_of_minilm(folder: Path, change: Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]]) -> Path:
    """Return a copy of MiniLM with other weights."""
    shutil.copytree(MODEL, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    weights = change(load_file(MODEL / "model.safetensors"))
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def without(part: str) -> Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]]:
    return lambda weights: {name: value for name, value in weights.items() if part not in name}


def texts_of(classes: ClassList) -> list[str]:
    return [phrase or name for phrase, name in zip(classes.column("phrase"), classes.names, strict=True)]


def rounding(model: SentenceTransformer, texts: list[str]) -> float:
    """Return how far the cosines of a model may lie apart only because its texts are put in other batches.

    The cosine of two unit vectors changes by no more than the two vectors move. How far one batching moves a vector
    from where it lies on its own is measured; two batchings are compared, of two vectors each.
    """
    together = model.encode(texts, show_progress_bar=False).astype(np.float64)[:10]
    alone = np.stack([model.encode(text, show_progress_bar=False) for text in texts[:10]]).astype(np.float64)
    moved = np.linalg.norm(together - alone, axis=1).max() / np.linalg.norm(alone, axis=1).min()
    assert 0 < moved < 1e-5
    return float(4 * moved)


def cosine_of_means(first: str, second: str) -> float:
    def mean(text: str) -> list[float]:
        return [math.fsum(column) / len(column) for column in zip(*map(ROWS.get, text.split()), strict=True)]

    a, b = mean(first), mean(second)
    return math.fsum(x * y for x, y in zip(a, b, strict=True)) / math.hypot(*a) / math.hypot(*b)


def test_similarities_equal_the_librarys_own(minilm: SentenceTransformer) -> None:
    classes = read_classes("cifar100")
    texts = texts_of(classes)
    theirs = cos_sim(*[minilm.encode(texts, show_progress_bar=False).astype(np.float64)] * 2).numpy()
    raw = encoder_similarity(MODEL, classes)
    np.testing.assert_allclose(raw.values, theirs, rtol=0, atol=rounding(minilm, texts))
    assert raw.classes == classes.names
    assert raw.provenance.builder == "encoder"
    assert raw.provenance.params == {"model": "model", "dimension": 384}
    assert raw.values.dtype == np.float64
    np.testing.assert_array_equal(raw.values, raw.values.T)


def test_flowers_are_more_like_flowers_than_like_trucks() -> None:
    names = ("rose", "tulip", "pickup_truck", "lorry")
    values = encoder_similarity(MODEL, ClassList(names)).values
    assert values[0, 1] > values[:2, 2:].max()
    assert values[2, 3] > values[:2, 2:].max()


def test_a_phrase_tells_one_sense_from_another() -> None:
    names = ("sea lion", "letter", "seal", "Seal")
    values = encoder_similarity(MODEL, ClassList(names, {"phrase": ("", "", "harbour seal", "wax seal")})).values
    assert values[2, 0] > values[2, 1]
    assert values[3, 0] < values[3, 1]


def test_a_class_is_called_by_its_phrase_or_else_its_name(saved: Path) -> None:
    names, phrases = ("seal", "redRose", "red_truck", "tulip", "void_"), ("rose truck", "", "", " ", "red")
    texts = ["rose truck", "red Rose", "red truck", "tulip", "red"]
    raw = encoder_similarity(saved, ClassList(names, {"phrase": phrases}), name="mine")
    hows = ["phrase", "name", "name", "name", "phrase"]
    assert raw.provenance.resolution == {
        name: {"how": how, "words": [text]} for name, how, text in zip(names, hows, texts, strict=True)
    }
    assert raw.provenance.params == {"model": "mine", "dimension": 3}
    known = [0, 2, 3, 4]  # "Rose" is no word of this model
    for i in known:
        for j in known:
            assert raw.values[i, j] == pytest.approx(cosine_of_means(texts[i], texts[j]), abs=1e-6)
    assert raw.values[0, 4] < 0  # raw similarities are not cut off


def test_classes_called_the_same_have_similarity_one(saved: Path) -> None:
    raw = encoder_similarity(saved, ClassList(("rose", "x", "tulip"), {"phrase": ("", "rose", "")}))
    assert raw.values[0, 1] == pytest.approx(1, abs=1e-15)
    np.testing.assert_array_equal(raw.values[0], raw.values[1])


def test_permuting_the_classes_permutes_the_matrix_to_the_last_bit() -> None:
    classes = read_classes("cifar100")
    order = np.random.default_rng(0).permutation(len(classes))
    permuted = encoder_similarity(MODEL, classes.select([classes.names[index] for index in order]))
    np.testing.assert_array_equal(permuted.values, encoder_similarity(MODEL, classes).values[np.ix_(order, order)])


def in_the_hubs_cache(home: Path, model: str) -> None:
    """Lay MiniLM where the hub's client keeps what it has fetched."""
    kept = home / "hub" / f"models--{model.replace('/', '--')}"
    revision = "0" * 40
    (kept / "refs").mkdir(parents=True)
    (kept / "refs" / "main").write_text(revision)
    (kept / "snapshots").mkdir()
    (kept / "snapshots" / revision).symlink_to(MODEL)


SCRIPT = """
import sys
from simmatrix.builders.encoder import encoder_similarity
from simmatrix.classes import read_classes
raw = encoder_similarity(sys.argv[1], read_classes("cifar10"))
print(raw.values.tobytes().hex(), raw.provenance.source[0].sha256, raw.provenance.source[0].name)
"""


@pytest.mark.slow
def test_processes_agree_and_say_nothing_and_a_fetched_model_needs_no_network(tmp_path: Path) -> None:
    model = "owner/MiniLM"
    in_the_hubs_cache(tmp_path, model)
    found = []
    for seed, argument in (("1", str(MODEL)), ("2", model)):
        offline = {"PYTHONHASHSEED": seed, "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"}
        run = subprocess.run(
            [sys.executable, "-c", SCRIPT, argument],
            env=os.environ | offline,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        )
        assert run.stderr == ""
        found.append(run.stdout.split())
    assert found[0][:2] == found[1][:2]
    assert [one[2] for one in found] == ["model", model]


def test_nothing_is_printed_and_the_libraries_settings_are_put_back(capfd: pytest.CaptureFixture[str]) -> None:
    before = logging.get_verbosity(), logging.is_progress_bar_enabled()
    assert before[1]
    encoder_similarity(MODEL, CLASSES)
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == before
    assert capfd.readouterr() == ("", "")


def test_a_folder_needs_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise AssertionError("the network was asked")

    for method in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, method, refused)
    monkeypatch.setattr(socket, "getaddrinfo", refused)
    assert encoder_similarity(MODEL, CLASSES).values.shape == (3, 3)


def test_of_a_hubs_model_only_data_are_fetched(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, list[str]]] = []

    def fetched(model: str, *, allow_patterns: list[str]) -> str:
        asked.append((model, allow_patterns))
        return str(saved)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fetched)
    raw = encoder_similarity("owner/tiny", CLASSES)
    ((model, patterns),) = asked
    assert (model, raw.provenance.source[0].name, raw.provenance.params["model"]) == ("owner/tiny",) * 3
    needed = ["model.safetensors", "1_Pooling/config.json", "vocab.txt", "tokenizer.json", "spiece.model", "spm.model"]
    unsafe = ["pytorch_model.bin", "2_Dense/pytorch_model.bin", "modeling.py", "tf_model.h5", "a.pkl", "a.pt", "a.pth"]
    assert [name for name in needed + unsafe if any(fnmatch(name, one) for one in patterns)] == needed


def test_a_folder_goes_before_the_hub(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fetched(*_: object, **__: object) -> str:
        raise AssertionError("the hub was asked")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fetched)
    monkeypatch.chdir(tiny.parent.parent)
    raw = encoder_similarity(f"{tiny.parent.name}/tiny", CLASSES)
    assert raw.provenance.source[0].name == "tiny"
    monkeypatch.chdir(tiny)
    assert encoder_similarity(".", CLASSES).provenance.source == raw.provenance.source


def checksum_of(folder: Path) -> str:
    return encoder_similarity(folder, CLASSES).provenance.source[0].sha256


def test_the_checksum_is_that_of_the_listing_of_the_data(tiny: Path) -> None:
    (tiny / "a").mkdir()
    (tiny / "a" / "ä.txt").write_text("a file of a module")
    (tiny / "a-b.txt").write_text("a file beside the module")
    names = ["a-b.txt", "a/ä.txt"]
    names += ["config_sentence_transformers.json", "model.safetensors", "modules.json", "tokenizer.json"]
    assert sorted(path.relative_to(tiny).as_posix() for path in tiny.rglob("*") if path.is_file()) == names
    listing = "".join(f"{hashlib.sha256((tiny / name).read_bytes()).hexdigest()}  {name}\n" for name in names)
    raw = encoder_similarity(tiny, CLASSES)
    assert raw.provenance.source[0] == ("encoder", "tiny", hashlib.sha256(listing.encode()).hexdigest())
    assert raw.provenance.source[1] == ("classes", CLASSES.source, CLASSES.sha256)


def test_the_checksum_depends_on_the_data_and_on_nothing_else(saved: Path, tiny: Path) -> None:
    before = checksum_of(saved)
    copy = tiny.rename(tiny.with_name("another"))
    (copy / "README.md").write_text("all about it")
    (copy / ".cache").mkdir()
    (copy / ".cache" / "state.json").write_text("{}")
    (copy / ".cache" / "pytorch_model.bin").write_bytes(b"half")
    (copy / "pytorch_model.bin").write_bytes(b"beside safetensors")
    (copy / "openvino").mkdir()
    (copy / "openvino" / "openvino_model.bin").write_bytes(b"no pickle")
    assert checksum_of(copy) == before
    settings = copy / "config_sentence_transformers.json"
    settings.write_text(settings.read_text() + " ")
    assert checksum_of(copy) != before


def message_of(model: str | Path, classes: ClassList = CLASSES) -> str:
    with pytest.raises(SourceError) as caught:
        encoder_similarity(model, classes)
    return str(caught.value)


def test_a_zero_or_broken_embedding_is_an_error(saved: Path) -> None:
    zero = message_of(saved, ClassList(("rose", "void")))
    assert zero == f"{saved}: the embedding of 'void' is zero; give its class another phrase"
    for word in ("broken", "endless"):
        said = message_of(saved, ClassList(("tulip", f"{word}_rose")))
        assert said == f"{saved}: the embedding of '{word} rose' holds NaN or infinity; get the model again"


class Marker:
    """What a pickle may do to whoever reads it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("module", ["", "1_Dense"])
def test_pickled_weights_are_refused_unread(tiny: Path, module: str) -> None:
    harm, pickled = tiny / "harm", tiny / module / "pytorch_model.bin"
    if module:
        pickled.parent.mkdir()
    else:
        (tiny / WEIGHTS).unlink()
    pickled.write_bytes(pickle.dumps(Marker(harm)))
    message = message_of(tiny)
    assert message.startswith(f"{pickled}: is pickled, and so could run code when it is read; take a model whose")
    assert not harm.exists()


def test_a_models_own_code_is_not_run(tiny: Path) -> None:
    harm = tiny / "harm"
    (tiny / "evil.py").write_text(f"open({str(harm)!r}, 'w')\nclass Evil: pass\n")
    modules = json.loads((tiny / "modules.json").read_text())
    modules[0]["type"] = "evil.Evil"
    (tiny / "modules.json").write_text(json.dumps(modules))
    assert "names a module 'evil.Evil' that is not sentence-transformers's own" in message_of(tiny)
    assert not harm.exists()


def test_only_data_that_are_in_the_checksum_are_loaded(tiny: Path, tmp_path: Path) -> None:
    """Pickled weights are not read: beside a decoy, in a hidden folder, outside of the folder, or linked to."""
    harm = tmp_path / "harm"
    modules = json.loads((tiny / "modules.json").read_text())
    dense = {"in_features": 3, "out_features": 3, "bias": False, "activation_function": "torch.nn.Identity"}
    for place in ("2_Dense", ".hidden", "2_Dense/.x", "../outside", str(tmp_path / "elsewhere")):
        folder = tmp_path / "model" / place.replace("/", "_")
        shutil.copytree(tiny, folder)
        module = folder / place
        module.mkdir(parents=True, exist_ok=True)
        (module / "config.json").write_text(json.dumps(dense))
        (module / "pytorch_model.bin").write_bytes(pickle.dumps(Marker(harm)))
        save_file({"x": np.ones(1)}, module / "decoy_model.safetensors")
        found = {"idx": len(modules), "name": "2", "path": place, "type": "sentence_transformers.models.Dense"}
        (folder / "modules.json").write_text(json.dumps([*modules, found]))
        said = message_of(folder)
        assert "outside of its folder, or hidden in it" in said or "can't be used as a sentence encoder" in said, said
        assert not harm.exists(), place


def test_an_adapter_whose_model_lies_elsewhere(tiny: Path) -> None:
    (tiny / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "/elsewhere"}))
    assert "belongs to an adapter, whose model lies elsewhere" in message_of(tiny)


def test_weights_that_matter_must_not_be_missing(tmp_path: Path) -> None:
    folder = copy_of_minilm(tmp_path / "lacking", without("encoder.layer.3."))
    assert message_of(folder) == f"{folder}: lacks some of the model's weights; get the model again"


def test_weights_that_do_not_matter_may_be_missing(tmp_path: Path) -> None:
    folder = copy_of_minilm(tmp_path / "lacking", without("pooler"))
    np.testing.assert_array_equal(encoder_similarity(folder, CLASSES).values, encoder_similarity(MODEL, CLASSES).values)


def test_half_precision_is_for_storage_only(tmp_path: Path) -> None:
    halved = copy_of_minilm(
        tmp_path / "half",
        lambda weights: {
            name: value.astype(np.float16) if value.dtype == np.float32 else value for name, value in weights.items()
        },
    )
    texts = texts_of(read_classes("cifar10"))
    peer = SentenceTransformer(str(halved), device="cpu", local_files_only=True).float()
    theirs = cos_sim(*[peer.encode(texts, show_progress_bar=False).astype(np.float64)] * 2).numpy()
    raw = encoder_similarity(halved, read_classes("cifar10"))
    np.testing.assert_allclose(raw.values, theirs, rtol=0, atol=rounding(peer, texts))


def lose_modules(folder: Path) -> None:
    (folder / "modules.json").unlink()


def lose_weights(folder: Path) -> None:
    (folder / WEIGHTS).unlink()


def cut_weights(folder: Path) -> None:
    os.truncate(folder / WEIGHTS, 60)


def break_settings(folder: Path) -> None:
    (folder / "modules.json").write_text("{")


def lose_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            lose_modules,
            "is no folder that sentence-transformers saved (there is no modules.json in it); name the folder of a "
            "model",
        ),
        (lose_weights, "holds no weights (no .safetensors file); get the model again"),
        (cut_weights, "can't be used as a sentence encoder (SafetensorError: "),
        (break_settings, "can't be used as a sentence encoder (JSONDecodeError: "),
        (lose_tokenizer, "can't be used as a sentence encoder ("),
    ],
)
def test_a_spoilt_folder_is_one_message(tiny: Path, spoil: Callable[[Path], None], message: str) -> None:
    spoil(tiny)
    said = message_of(tiny)
    assert said.startswith(f"{tiny}: {message}")
    assert "\n" not in said


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (Path("owner/name"), "there is no such folder; check the path"),
        (
            "no/such/folder",
            "is neither a folder nor the name of a model on the Hugging Face hub (owner/name); check the path",
        ),
        ("MiniLM", "is neither a folder nor the name of a model on the Hugging Face hub (owner/name); check the path"),
        (__file__, "is a file; name the folder of a model"),
        ("../name", "is no folder, and can't be fetched from the Hugging Face hub (HFValidationError: "),
    ],
)
def test_what_is_no_model_is_one_message(
    model: str | Path, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    said = message_of(model)
    assert said.startswith(f"{model}: {message}")
    assert "\n" not in said


def test_a_hub_that_can_not_be_reached_is_one_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The client's own way to do without the network, read when it is imported.
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.chdir(tmp_path)
    said = message_of("owner/there-is-none")
    assert said.startswith(
        "owner/there-is-none: is no folder, and can't be fetched from the Hugging Face hub (LocalEntryNotFoundError: "
    )
    assert said.endswith("); check the spelling and the network, or get the model elsewhere and name its folder")
    assert "\n" not in said


def installed(version: str | None) -> Callable[[str], str]:
    def answer(library: str) -> str:
        if version is None:
            raise metadata.PackageNotFoundError(library)
        return version

    return answer


@pytest.mark.parametrize(
    ("version", "message"),
    [
        (
            None,
            'a sentence encoder needs the library sentence-transformers; install it: pip install "simloss[encoder]"',
        ),
        (
            "5.9.1",
            "a sentence encoder needs sentence-transformers 6 or newer, not 5.9.1; install it: "
            'pip install "simloss[encoder]"',
        ),
    ],
)
def test_a_library_that_is_missing_or_too_old_is_one_message(
    version: str | None, message: str, saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metadata, "version", installed(version))
    assert message_of(saved) == message


def test_importing_the_builder_leaves_the_library_alone() -> None:
    script = "import sys, simmatrix.builders.encoder; print([m for m in ('torch', 'transformers') if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"
