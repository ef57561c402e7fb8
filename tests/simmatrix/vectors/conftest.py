"""gensim's own object, which every format is written from and compared with."""

import numpy as np
import pytest
from gensim.models import KeyedVectors

WORDS = ("rose", "tulip", "Käfer", "日本", "a", "ä", "sweet_pepper", "truck", "trucks", "of", "7", "-")


@pytest.fixture(scope="session")
def peer() -> KeyedVectors:
    """Twelve words of five values, float32."""
    vectors = KeyedVectors(5)
    vectors.add_vectors(list(WORDS), np.random.default_rng(0).normal(size=(len(WORDS), 5)).astype(np.float32))
    return vectors
