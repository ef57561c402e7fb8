"""Names as they are shown and written."""

from pathlib import Path

import pytest

from simmatrix.text import shown_name, some


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("rose", "rose"),
        ("caf\u00e9", "caf\u00e9"),
        ("a\udcff.csv", "a\\udcff.csv"),
        ("folder/a.csv", "folder/a.csv"),
        (Path("folder/a\udcff.csv"), "a\\udcff.csv"),
    ],
)
def test_what_can_not_be_written_is_escaped_and_folders_of_files_are_left_out(name: str | Path, expected: str) -> None:
    assert shown_name(name) == expected


@pytest.mark.parametrize(
    ("names", "expected"),
    [("a", "a"), ("abcde", "a, b, c, d, e"), ("abcdefg", "a, b, c, d, e and 2 more")],
)
def test_some_names_are_shown_and_the_rest_is_counted(names: str, expected: str) -> None:
    assert some(names) == expected
