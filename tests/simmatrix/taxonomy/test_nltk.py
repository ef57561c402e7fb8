"""WordNet from NLTK's data: the bundled one, which NLTK reads as well, comes back as it is."""

from __future__ import annotations

import hashlib
import shutil
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nltk
import numpy as np
import pytest

from simmatrix.errors import SourceError
from simmatrix.taxonomy.nltk import read_nltk_wordnet
from simmatrix.taxonomy.wordnet import WordNet, bundled_wordnet
from tests.simmatrix.taxonomy.test_wndb import FILES
from tests.wordnet import digests, nltk_lines

DIGESTS = Path(__file__).parents[2] / "data/fixtures/wordnet-3.0-digests.tsv"
VERB_INDEX = "orbit v 1 0 1 0 00000100\n"
VERB_DATA = "00000100 38 v 01 orbit 0 000 01 + 08 00 | go round\n"
FILES_READ = ("data.noun", "index.noun", "cntlist.rev", "index.verb", "data.verb")
ARRAYS = ("offsets", "starts", "hypernyms", "word_starts", "words", "cased")


def assert_same(one: WordNet, other: WordNet) -> None:
    for pos, part in one.parts.items():
        for name in ARRAYS:
            np.testing.assert_array_equal(getattr(part, name), getattr(other.parts[pos], name))
        for name in ("starts", "synsets", "tags"):
            np.testing.assert_array_equal(getattr(part.index, name), getattr(other.parts[pos].index, name))
        assert part.index.lemmas == other.parts[pos].index.lemmas
        assert part.spellings == other.parts[pos].spellings
    assert one.exceptions == other.exceptions


def checksum(folder: Path, *names: str) -> str:
    return hashlib.sha256(b"".join((folder / "corpora/wordnet" / name).read_bytes() for name in names)).hexdigest()


def _above(wordnet: WordNet, pos: str, node: int) -> set[str]:
    taxonomy = wordnet.taxonomy(pos)
    return {taxonomy.names[one] for one in taxonomy.closure(np.array([node])).nodes.tolist()}


@pytest.mark.slow
def test_nltk_reads_in_the_files_of_these_tests_what_it_reads_in_princetons(nltk_data: Path) -> None:
    expected = DIGESTS.read_text(encoding="utf-8").splitlines()
    without_counts = [line for line in expected if not line.startswith("tags")]
    assert digests(nltk_lines(nltk.corpus.wordnet, counts=False)) == without_counts


@pytest.mark.slow
def test_depths_are_nltks(nltk_data: Path) -> None:
    reader, wordnet = nltk.corpus.wordnet, bundled_wordnet()
    for pos, root in (("n", 0), ("v", 1)):
        ours = wordnet.taxonomy(pos).depths - root
        for node, offset in enumerate(wordnet.parts[pos].offsets.tolist()):
            try:
                theirs = reader.synset_from_pos_and_offset(pos, offset).max_depth()
            except ValueError:
                # NLTK can't tell on or below a circle.
                assert {"restrain.v.01", "inhibit.v.04"} & _above(wordnet, pos, node)
                continue
            assert ours[node] == theirs


def test_it_is_the_bundled_one(nltk_data: Path) -> None:
    wordnet = read_nltk_wordnet()
    assert_same(wordnet, bundled_wordnet())
    assert wordnet.sha256 == checksum(nltk_data, *FILES_READ, "noun.exc")
    assert (wordnet.name, wordnet.version, wordnet.language) == ("nltk wordnet 3.0", "3.0", "eng")


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of a small WordNet, english_wordnet, the only one that NLTK finds."""
    corpus = tmp_path / "corpora" / "english_wordnet"
    corpus.mkdir(parents=True)
    for name, text in {**FILES, "index.verb": VERB_INDEX, "data.verb": VERB_DATA}.items():
        (corpus / name).write_text(text, encoding="utf-8")
    monkeypatch.setattr(nltk.data, "path", [str(tmp_path)])
    return corpus


def test_a_zip_will_do(small: Path) -> None:
    folder = read_nltk_wordnet("english_wordnet")
    with zipfile.ZipFile(small.with_suffix(".zip"), "w") as archive:
        for file in sorted(small.iterdir()):
            archive.write(file, f"{small.name}/{file.name}")
    shutil.rmtree(small)
    zipped = read_nltk_wordnet("english_wordnet")
    assert_same(folder, zipped)
    assert folder.sha256 == zipped.sha256
    assert (zipped.name, zipped.takes_ids) == ("nltk english_wordnet 3.1", False)


@pytest.mark.parametrize("name", [*FILES, "index.verb", "data.verb"])
def test_the_checksum_tells_of_every_file_and_each_is_needed(small: Path, name: str) -> None:
    before = read_nltk_wordnet("english_wordnet")
    text = (small / name).read_text(encoding="utf-8")
    (small / name).write_text(text + "\n", encoding="utf-8")
    assert read_nltk_wordnet("english_wordnet").sha256 != before.sha256
    (small / name).write_bytes(text.encode() + b"\xff\n")
    with pytest.raises(SourceError, match=rf"english_wordnet/{name}, line \d+: is not UTF-8"):
        read_nltk_wordnet("english_wordnet")
    (small / name).unlink()
    with pytest.raises(SourceError, match=rf"NLTK has no english_wordnet \({name} is not there\)"):
        read_nltk_wordnet("english_wordnet")


def test_sixteen_threads_at_once(small: Path) -> None:
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda _number: read_nltk_wordnet("english_wordnet"), range(16)))
    for one in found:
        assert_same(one, found[0])
    assert len({one.sha256 for one in found}) == 1


def test_lemmas_of_another_language(nltk_data: Path) -> None:
    french = read_nltk_wordnet(language="fra")
    assert list(french.vocabulary()) == ["canis_familiaris", "chat", "chien"]
    for lemma in ("chien", "chat", "Canis familiaris"):
        theirs = nltk.corpus.wordnet.synsets(lemma.replace(" ", "_"), pos="n", lang="fra")
        assert [french.name_of(sense.synset) for sense in french.senses(lemma)] == [one.name() for one in theirs]
    assert french.senses("dog") == french.senses("chien", "v") == ()
    assert french.name_of(french.senses("chat")[0].synset) == "cat.n.01"
    assert (french.name, french.language) == ("nltk wordnet 3.0 fra", "fra")
    # The lemmas count as well as the files, of which a language needs no English plurals.
    assert french.sha256 != checksum(nltk_data, *FILES_READ)


def test_what_nltk_lacks_is_named(nltk_data: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"NLTK has no language 'fre'; choose fra"):
        read_nltk_wordnet(language="fre")
    monkeypatch.setattr(nltk.data, "path", [str(tmp_path)])
    with pytest.raises(SourceError) as caught:
        read_nltk_wordnet()
    assert "python -m nltk.downloader wordnet'" in str(caught.value)
    assert str(tmp_path) in str(caught.value)
    with pytest.raises(SourceError, match=r"NLTK has no english_wordnet .*downloader english_wordnet'"):
        read_nltk_wordnet("english_wordnet")


@pytest.mark.parametrize("name", ["../wordnet", "", "/etc", "word net", "wördnet", "wordnet\n"])
def test_a_name_that_is_no_corpus_is_refused(name: str) -> None:
    with pytest.raises(SourceError, match="is no corpus of NLTK"):
        read_nltk_wordnet(name)
