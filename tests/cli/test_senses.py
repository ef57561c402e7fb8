"""`simmatrix senses`: what a word can mean, and how to pin it."""

from pathlib import Path

import pytest

from tests.cli.command import Command, assert_mendable


def test_what_people_see(command: Command) -> None:
    header, *rows, blank, last = command.good("senses", "Seals").splitlines()
    assert header.split() == ["synset", "lemmas", "a", "kind", "of", "tagged"]
    assert len(rows) == 9
    assert rows[0].split() == ["sealing_wax.n.01", "sealing_wax,", "seal", "fastener.n.02", "3"]
    assert rows[8].split() == ["seal.n.09", "seal", "pinniped_mammal.n.01", "0"]
    assert blank == ""
    assert "synset column" in last
    assert last.endswith("seal.n.09")


def test_verbs_come_after_nouns(command: Command) -> None:
    rows = command.good("senses", "seal").splitlines()[1:-2]
    assert [row.split()[0].split(".")[1] for row in rows] == ["n"] * 9 + ["v"] * 6


def test_an_unknown_word_gets_suggestions(command: Command) -> None:
    assert_mendable(command("senses", "tulpi"), "wordnet-3.0 has neither noun nor verb 'tulpi'", "tulip")
    assert_mendable(command("senses", "qqzzxx"), "try another word")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--wordnet", "3.1"], "--wordnet must be 'bundled', 'nltk' or 'nltk:CORPUS', got '3.1'"),
        (["--language", "fra"], "the bundled WordNet is in English"),
        (["--wordnet", "nltk:../x"], "is no corpus of NLTK"),
    ],
)
def test_bad_choices(command: Command, options: list[str], message: str) -> None:
    assert_mendable(command("senses", "seal", *options), message)


def test_nltk_without_data(command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("nltk.data.path", [str(tmp_path)])
    assert_mendable(
        command("senses", "seal", "--wordnet", "nltk"), "python -m nltk.downloader wordnet", f"looked in {tmp_path}"
    )
