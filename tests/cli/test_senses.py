"""`simmatrix senses`: what a word can mean, and how to pin it."""

from pathlib import Path

import pytest

from tests.cli.command import Command, assert_mendable


def test_what_people_see(command: Command) -> None:
    header, *rows, blank, last = command.good("senses", "Seals").splitlines()
    assert header.split() == ["synset", "lemmas", "a", "kind", "of", "tagged", "definition"]
    assert len(rows) == 9
    assert rows[0].split()[:5] == ["sealing_wax.n.01", "sealing_wax,", "seal", "fastener.n.02", "3"]
    assert rows[8].split()[:4] == ["seal.n.09", "seal", "pinniped_mammal.n.01", "0"]
    assert "  any of numerous marine mammals" in rows[8]
    assert blank == ""
    assert "synset column" in last
    assert last.endswith("seal.n.09")


def test_verbs_come_after_nouns(command: Command) -> None:
    rows = command.good("senses", "seal").splitlines()[1:-2]
    assert [row.split()[0].split(".")[1] for row in rows] == ["n"] * 9 + ["v"] * 6


def test_several_words(command: Command) -> None:
    header, *rows, _blank, _last = command.good("senses", "tulip", "tiger").splitlines()
    assert header.split()[:2] == ["word", "synset"]
    assert [row.split()[:2] for row in rows] == [
        ["tulip", "tulip.n.01"],
        ["tiger", "tiger.n.01"],
        ["tiger", "tiger.n.02"],
    ]


def test_the_choices_for_a_class_list_start_with_the_most_doubtful(command: Command) -> None:
    Path("list.txt").write_text("tiger\nlion\ntulip\nqqzzxx\nFish_Crow\n")
    header, *rows = command.good("senses", "--classes", "list.txt").splitlines()
    assert header.split() == ["class", "synset", "found", "by", "doubt", "next", "definition"]
    cells = [row.split() for row in rows]
    assert cells[0] == ["qqzzxx", "not", "found"]
    assert {cell[0]: cell[1] for cell in cells[1:]} == {
        "tiger": "tiger.n.02",
        "lion": "lion.n.01",
        "tulip": "tulip.n.01",
        "Fish_Crow": "crow.n.01",
    }
    doubts = [float(cell[3]) for cell in cells[1:] if "." in cell[3]]
    assert doubts == sorted(doubts, reverse=True)


def test_words_or_a_list(command: Command) -> None:
    for arguments in ([], ["seal", "--classes", "cifar10"]):
        result = command("senses", *arguments)
        assert result.code != 0
        assert "give words, or a class list (--classes)" in result.err


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
