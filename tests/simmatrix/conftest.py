"""The fixtures that give NLTK a WordNet without a download."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def nltk_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a data folder of NLTK's with the bundled WordNet in it."""
    from simmatrix.taxonomy.wordnet import bundled_wordnet
    from tests.wordnet import write_nltk_folder

    return write_nltk_folder(tmp_path_factory.mktemp("nltk"), bundled_wordnet())


@pytest.fixture
def nltk_data(nltk_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let NLTK find that folder and no other."""
    import nltk

    monkeypatch.setattr(nltk.data, "path", [str(nltk_folder)])
    return nltk_folder
