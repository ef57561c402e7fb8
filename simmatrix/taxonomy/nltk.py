"""WordNet as the user's NLTK has it: another version, or lemmas of another language (Open Multilingual WordNet)."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from simmatrix.errors import SourceError
from simmatrix.files import decoded
from simmatrix.taxonomy.wndb import read_exceptions, read_part, version_of
from simmatrix.taxonomy.wordnet import PARTS, Index, PartOfSpeech, WordNet, starts_of
from simmatrix.text import nearest, or_list

ENGLISH = "eng"

# NLTK's readers are not safe under threads.
_NLTK = Lock()
_CORPUS = re.compile(r"\w[\w-]*", re.ASCII)
_DOWNLOAD = re.compile(r"nltk\.download\('([^']+)'\)")


def read_nltk_wordnet(corpus: str = "wordnet", language: str = ENGLISH) -> WordNet:
    """Return the nouns and verbs of a WordNet among NLTK's data.

    NLTK finds the files, in a folder or a zip, and gives the lemmas of languages other than English. The English files
    are read here: NLTK's own reader takes longer.

    The corpus is its name in ``nltk.corpus``: ``"wordnet"`` (3.0), ``"wordnet31"``, ``"english_wordnet"``. Words are
    looked up among the lemmas of the language, three letters of ISO 639-3, ``"eng"`` or any that NLTK has.
    """
    if not _CORPUS.fullmatch(corpus):
        raise SourceError(f"{corpus!r} is no corpus of NLTK; wordnet, wordnet31 and english_wordnet are")
    with _NLTK:
        digest = hashlib.sha256()
        read = _reader(corpus, digest.update)
        version = version_of(read)
        parts = {pos: read_part(read, pos) for pos in PARTS}
        exceptions = read_exceptions(read) if language == ENGLISH else {}
        indices = {pos: part.index for pos, part in parts.items()}
        if language != ENGLISH:
            indices = _foreign(corpus, language, parts)
            for index in indices.values():
                digest.update("\n".join(index.lemmas).encode() + index.starts.tobytes() + index.synsets.tobytes())
    return WordNet(
        name=f"nltk {corpus} {version}" + (f" {language}" if language != ENGLISH else ""),
        version=version,
        sha256=digest.hexdigest(),
        parts=parts,
        indices=indices,
        exceptions=exceptions,
        language=language,
    )


def _reader(corpus: str, note: Callable[[bytes], None]) -> Callable[[str], str]:
    """Return a function that reads a file of the corpus once, and hands its bytes to `note`."""
    import nltk

    texts: dict[str, str] = {}

    def read(name: str) -> str:
        if name not in texts:
            try:
                with nltk.data.find(f"corpora/{corpus}/{name}").open() as file:
                    raw: bytes = file.read()
            except (LookupError, OSError):
                folders = ", ".join(nltk.data.path)
                raise SourceError(
                    f"NLTK has no {corpus} ({name} is not there); get it with 'python -m nltk.downloader {corpus}', "
                    f"or take the bundled WordNet. NLTK looked in {folders}"
                ) from None
            note(raw)
            texts[name] = decoded(raw, Path(corpus) / name)
        return texts[name]

    return read


def _foreign(corpus: str, language: str, parts: Mapping[str, PartOfSpeech]) -> dict[str, Index]:
    import nltk
    from nltk.corpus.reader.wordnet import WordNetError

    reader = getattr(nltk.corpus, corpus, None)
    if reader is None:
        raise SourceError(f"NLTK knows no languages for {corpus}; take wordnet")
    try:
        return {pos: _foreign_index(reader, language, part) for pos, part in parts.items()}
    except WordNetError:
        known = sorted(reader.langs())
        hint = nearest(language, known) or known
        raise SourceError(f"NLTK has no language {language!r}; choose {or_list(hint)}") from None
    except LookupError as error:
        named = _DOWNLOAD.search(str(error))
        wanted = named[1] if named else "omw-1.4"
        raise SourceError(
            f"NLTK has no lemmas of other languages; get them with 'python -m nltk.downloader {wanted}'"
        ) from None


def _foreign_index(reader: Any, language: str, part: PartOfSpeech) -> Index:
    names = {name.lower() for name in reader.all_lemma_names(pos=part.pos, lang=language)}
    senses: dict[str, list[int]] = {}
    for lemma in sorted(names):
        # A synset that this WordNet lacks comes as None.
        offsets = (one.offset() for one in reader.synsets(lemma, part.pos, lang=language) if one is not None)
        nodes = [node for node in map(part.at_offset, offsets) if node is not None]
        if nodes:
            senses[lemma] = nodes
    synsets = np.array([node for nodes in senses.values() for node in nodes], dtype=np.int64)
    return Index(
        lemmas=list(senses),
        starts=starts_of(np.array([len(nodes) for nodes in senses.values()], dtype=np.int64)),
        synsets=synsets,
        tags=np.zeros_like(synsets),
    )
