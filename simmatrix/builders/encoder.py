"""Similarity of classes from a sentence encoder: the cosine of the embeddings of what the classes are called.

Sentence encoders: Reimers and Gurevych 2019, "Sentence-BERT", through their library sentence-transformers. The lower
bound of Kobs et al. 2020 applies to these cosines as it does to those of word vectors.

A model is a folder. Only its data files are read: weights as safetensors, settings and vocabularies. Pickled weights
and a model's own code could do anything to the machine that reads them, so the library gets another folder, with links
to the data files and nothing else. All that it reads is in the checksum.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from simmatrix.builders.lookup import plain_text
from simmatrix.builders.raw import RawSource
from simmatrix.classes import Classes, ClassList, read_classes
from simmatrix.errors import SourceError
from simmatrix.files import reading, sha256_of, shown_name
from simmatrix.matrix import SimilarityMatrix
from simmatrix.neighbours.vectors import Cosines
from simmatrix.normalise import check_lower_bound
from simmatrix.provenance import Input, Provenance, by_class
from simmatrix.shapes import Float

_LIBRARY = "sentence-transformers"
# Older versions run code from a local folder unasked.
_OLDEST = 6
_INSTALL = 'pip install "simloss[encoder]"'

_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")
# Settings and tokenizers, vocabularies, weights, and the tokenizers of sentencepiece.
_DATA = (".json", ".txt", ".safetensors", ".model", ".spm")
_PICKLED = "pytorch_model*.bin"


def from_encoder(
    model: str | Path,
    classes: Classes = "cifar100",
    *,
    lower_bound: float | None = None,
    top_k: int | None = None,
    search: str = "exact",
    recall: float | None = None,
) -> SimilarityMatrix:
    """Build a matrix from a sentence encoder: the cosine of its embeddings of the classes' phrases or names.

    Parameters
    ----------
    model
        A folder that sentence-transformers saved, or the name of a model on the Hugging Face hub, which is fetched
        unless the hub's cache holds it. A folder of that name goes first, and nothing is fetched for a `Path`.
    classes
        The class list: a file, the name of a bundled list, or the names themselves.
    lower_bound, top_k, search, recall
        As in `from_embeddings`.

    Raises
    ------
    SimilarityError
        If sentence-transformers is not installed (the extra ``encoder``), the model can't be found or loaded, its
        weights are pickled or not complete, or the embedding of a class is zero or holds NaN or infinity.
    """
    check_lower_bound(lower_bound)
    listed = read_classes(classes)
    # With the defaults there is nothing to check, and no module of neighbours is loaded.
    if (search, recall) != ("exact", None):
        from simmatrix.neighbours.matrix import check_search

        check_search(search, recall, top_k, len(listed))
    return encoder_similarity(model, listed).normalised(lower_bound, top_k, search=search, recall=recall)


def encoder_similarity(model: str | Path, classes: ClassList, *, name: str | None = None) -> RawSource:
    """Return the cosine of the sentence embeddings of the classes' texts.

    The text of a class is its phrase if it has one. Else it is its name without an index in front, of several synonyms
    the first, with blanks for underscores and camelCase (`simmatrix.builders.lookup`).

    `name` is recorded in place of the folder's or the hub's. The model's checksum is that of a listing of its data
    files in the order of their names, as ``sha256sum`` prints it: it does not depend on where the model lies.

    Examples
    --------
    >>> raw = encoder_similarity(  # doctest: +SKIP
    ...     "sentence-transformers/all-MiniLM-L6-v2", ClassList(("rose", "pickupTruck"))
    ... )
    >>> raw.provenance.resolution["pickupTruck"]  # doctest: +SKIP
    {'how': 'name', 'words': ['pickup Truck']}
    """
    # Importing the library takes seconds, asking for its version does not.
    try:
        version = metadata.version(_LIBRARY)
    except metadata.PackageNotFoundError:
        raise SourceError(f"a sentence encoder needs the library {_LIBRARY}; install it: {_INSTALL}") from None
    if int(version.split(".")[0]) < _OLDEST:
        raise SourceError(
            f"a sentence encoder needs {_LIBRARY} {_OLDEST} or newer, not {version}; install it: {_INSTALL}"
        )
    folder = _folder(model)
    recorded = name or (str(model) if folder != Path(model) else shown_name(folder.resolve()))
    files = _data_files(folder)
    before = _stamps(files)
    listing = "".join(f"{sha256_of(path)}  {file}\n" for file, path in files.items())
    checksum = hashlib.sha256(listing.encode("utf-8", "surrogateescape")).hexdigest()
    names, phrases = classes.names, classes.column("phrase")
    asked = [phrase if phrase.strip() else plain_text(name) for name, phrase in zip(names, phrases, strict=True)]
    # The last bits of an embedding depend on the other texts of its batch, so texts are encoded in alphabetical order,
    # whatever the order of the classes. (One by one would take nine times as long.)
    texts = sorted(set(asked))
    embeddings = _embeddings(files, texts, folder).astype(np.float64)
    lengths = np.linalg.norm(embeddings, axis=1)
    for text, length in zip(texts, lengths, strict=True):
        if not np.isfinite(length):
            raise SourceError(f"the embedding of {text!r} holds NaN or infinity; get the model again", folder)
        if length == 0:
            raise SourceError(f"the embedding of {text!r} is zero; give its class another phrase", folder)
    unit = embeddings / lengths[:, None]
    if _stamps(files) != before:
        raise SourceError("was changed while it was read; read it again", folder)
    position = {text: index for index, text in enumerate(texts)}
    return RawSource(
        source=Cosines(unit[[position[text] for text in asked]]),
        classes=names,
        provenance=Provenance(
            builder="encoder",
            params={"model": recorded, "dimension": unit.shape[1]},
            source=(Input("encoder", recorded, checksum), Input("classes", classes.source, classes.sha256)),
            resolution=by_class(
                names,
                (
                    {"how": "phrase" if phrase.strip() else "name", "words": [text]}
                    for phrase, text in zip(phrases, asked, strict=True)
                ),
            ),
        ),
    )


def _folder(model: str | Path) -> Path:
    """Return the folder of a model. One of the hub is fetched into the hub's cache if it is not there yet."""
    path = Path(model)
    with reading(path):
        if path.is_dir():
            return path
        if path.exists():
            raise SourceError("is a file; name the folder of a model", path)
    if isinstance(model, Path):
        raise SourceError("there is no such folder; check the path", path)
    if not _HUB_NAME.fullmatch(model):
        raise SourceError(
            "is neither a folder nor the name of a model on the Hugging Face hub (owner/name); check the path", model
        )
    try:
        from huggingface_hub import snapshot_download

        with _quiet():
            return Path(snapshot_download(model, allow_patterns=[f"*{suffix}" for suffix in _DATA]))
    except Exception as error:  # of the network, of the hub, of the disk: whatever it is, the remedies are these
        raise SourceError(
            f"is no folder, and can't be fetched from the Hugging Face hub ({_said(error)}); check the spelling and "
            "the network, or get the model elsewhere and name its folder",
            model,
        ) from None


def _data_files(folder: Path) -> Mapping[str, Path]:
    """Return the files that make up a model, by their path inside its folder, in the order of these."""
    with reading(folder):
        # Checked first, so that a folder that was named by mistake is not searched.
        if not (folder / "modules.json").is_file():
            raise SourceError(
                f"is no folder that {_LIBRARY} saved (there is no modules.json in it); name the folder of a model",
                folder,
            )
        paths = {path.relative_to(folder): path for path in sorted(folder.rglob("*")) if path.is_file()}
    shown = {name.as_posix(): path for name, path in paths.items() if not any(part[0] == "." for part in name.parts)}
    _check_weights(shown.values(), folder)
    _check_modules(folder)
    return {name: shown[name] for name in sorted(shown) if shown[name].suffix in _DATA}


def _check_weights(paths: Collection[Path], folder: Path) -> None:
    weights = [path for path in paths if path.suffix == ".safetensors"]
    # Beside safetensors, pickled weights are a copy that is not read.
    safe = {path.parent for path in weights if "model" in path.name}
    for path in paths:
        if path.match(_PICKLED) and path.parent not in safe:
            raise SourceError(
                "is pickled, and so could run code when it is read; take a model whose weights are safetensors "
                f"({_LIBRARY} saves them so)",
                path,
            )
        if path.name == "adapter_config.json":
            raise SourceError("belongs to an adapter, whose model lies elsewhere; merge the two and save them", path)
    if not weights:
        raise SourceError("holds no weights (no .safetensors file); get the model again", folder)


def _check_modules(folder: Path) -> None:
    """Refuse modules that are not the library's own, or lie outside of the folder or hidden in it."""
    path = folder / "modules.json"
    try:
        modules = json.loads(path.read_text(encoding="utf-8"))
        kinds, places = [one["type"] for one in modules], [one["path"].replace("\\", "/") for one in modules]
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        # The library says what is wrong with it.
        return
    if any(re.match(r"/|\w:|(.*/)?\.", place) for place in places):
        raise SourceError("names a module outside of its folder, or hidden in it; get the model again", path)
    strange = next((kind for kind in kinds if not str(kind).startswith("sentence_transformers.")), None)
    if strange is not None:
        raise SourceError(f"names a module {strange!r:.60} that is not {_LIBRARY}'s own; take another model", path)


def _stamps(files: Mapping[str, Path]) -> list[tuple[int, int, int]]:
    states = [path.stat() for path in files.values()]
    return [(state.st_ino, state.st_size, state.st_mtime_ns) for state in states]


def _embeddings(files: Mapping[str, Path], texts: Sequence[str], folder: Path) -> Float[np.ndarray, "C d"]:
    """Return the texts' embeddings, float32.

    Weights that the folder lacks are filled with random numbers by the library. On some of them no embedding depends,
    so whether it matters is found out by loading the model twice.
    """
    try:
        with _quiet(), TemporaryDirectory() as data:
            # Links to the model's data files, and nothing else.
            for name, path in files.items():
                link = Path(data, name)
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(path.resolve())
            embeddings, once = _encoded(data, texts, texts[:1])
            (again,) = _encoded(data, texts[:1])
    except Exception as error:  # the library does not say what it may raise, and whatever it is, the remedies are these
        raise SourceError(
            f"can't be used as a sentence encoder ({_said(error)}); get the model again, or take another", folder
        ) from None
    with np.errstate(invalid="ignore"):
        moved = np.abs(again - once).max()
    # Far more than rounding, far less than a random weight. NaN compares as false and is refused later.
    if moved > 1e-3 * np.abs(once).max():
        raise SourceError("lacks some of the model's weights; get the model again", folder)
    return embeddings


def _encoded(folder: str, *batches: Sequence[str]) -> list[Float[np.ndarray, "_ d"]]:
    """Load the model and return the embeddings of each batch of texts."""
    from sentence_transformers import SentenceTransformer

    encoder = SentenceTransformer(
        folder,
        # A thousand short texts take a second or two, and which accelerator there is must not change the result.
        device="cpu",
        trust_remote_code=False,
        local_files_only=True,
        # Many models are stored in bfloat16, whose rounding errors are as large as differences between classes.
        model_kwargs={"use_safetensors": True, "dtype": "float32"},
    )
    return [np.asarray(encoder.encode(list(batch), show_progress_bar=False)) for batch in batches]


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the progress bars and reports of transformers off the screen; the settings are put back afterwards.

    Warnings of sentence-transformers stay: there are none for a sound model.
    """
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(logging.ERROR)
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def _said(error: Exception) -> str:
    """Return an error's kind and the first line of what it says."""
    return ": ".join((type(error).__name__, *str(error).strip().splitlines()[:1]))
