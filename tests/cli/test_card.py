"""`simmatrix card`: what the folder holds, against the file itself."""

import re
import subprocess

import numpy as np
import pytest
import yaml
from PIL import Image

import simmatrix
from tests.cli.command import COMMAND, Command


def test_a_card_tells_what_the_matrix_is(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("a|b", "<script>", "![x](y)", *(f"class {number}" for number in range(22)))
    values = np.eye(25, dtype=np.float32)
    values[0, 1] = values[1, 0] = 0.5
    origin = simmatrix.Provenance("matrix", source=(), params={"scale": [0, 1]})
    simmatrix.SimilarityMatrix(values, names, origin).save("odd.safetensors")
    told = command.good("card", "odd.safetensors")
    assert told.startswith("odd-card: similarity.safetensors, README.md and heatmap.png")
    folder = command.folder / "odd-card"
    assert (folder / "similarity.safetensors").read_bytes() == (command.folder / "odd.safetensors").read_bytes()
    with Image.open(folder / "heatmap.png") as picture:
        picture.verify()
    text = (folder / "README.md").read_text(encoding="utf-8")
    _, head, body = text.split("---\n", 2)
    assert yaml.safe_load(head) == {"library_name": "simloss", "tags": ["simloss", "class-similarity"]}
    # Two of 25 classes are alike by 0.5: 2 * 0.5 / 25 is the mean row off the diagonal, and 23 have no neighbour.
    assert "| influence | 0.04," in body
    assert re.search(r"\| classes without a neighbour \| 92(\.0)? ?% \|", body)
    assert r"| a\|b | &lt;script> 0.50" in body
    assert r"| !\[x](y) |" in body
    assert "… and 5 more classes." in body
    assert 'from_file(\n    "hf://OWNER/NAME/similarity.safetensors"' in body
    assert len(re.findall(r"^\| class \d+ \|", body, re.MULTILINE)) == 17
    monkeypatch.setattr("simmatrix.ordering.MOST", 24)
    assert command.good("card", "odd.safetensors", "-o", "other").splitlines()[0] == (
        "other: similarity.safetensors, README.md; no heat map, since there are more than 24 classes"
    )
    assert not (command.folder / "other" / "heatmap.png").exists()
    refused = command("card", "odd.safetensors")
    assert (refused.code, refused.err.count("is there already")) == (1, 1)


def test_the_same_matrix_has_the_same_card(command: Command) -> None:
    simmatrix.from_classes("cifar10").save("ten.safetensors")
    texts = []
    for folder in ("one", "two"):
        command.good("card", "ten.safetensors", "-o", folder)
        texts.append((command.folder / folder / "README.md").read_bytes())
    assert texts[0] == texts[1]
    assert b"SHA-256" in texts[0]


def test_a_card_that_fails_leaves_nothing(command: Command) -> None:
    simmatrix.from_classes("cifar10").save("ten.safetensors")
    (command.folder / "matplotlibrc").write_bytes(b"font.size: \xff\n")
    done = subprocess.run([COMMAND, "card", "ten.safetensors"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr[:36]) == (1, "error: matplotlib can't read its set")
    assert not (command.folder / "ten-card").exists()
