"""The command around a study: begun, exported, built from, and refused in one message."""

import socket
from pathlib import Path

from simmatrix.study import Design, Study
from tests.cli.command import Command, assert_mendable

NAMES = ("rose", "tulip", "oak", "truck", "bus")
TRIPLETS = Design("triplets", NAMES, method="random")


def answered(path: Path, *, is_whole: bool) -> None:
    """Make a study whose rater picks the odd one by the alphabet."""
    with Study(path, TRIPLETS) as study:
        who, _ = study.join("ann")
        for one in range(len(NAMES)):
            for two in range(one):
                for three in range(two if is_whole else min(two, 1)):
                    study.answer(who, study.ask(who, (three, two, one), "ask").number, 0)


def test_a_study_is_exported_and_both_are_built_from(command: Command) -> None:
    (command.folder / "flowers.txt").write_text("\n".join(NAMES))
    answered(command.folder / "study.db", is_whole=True)
    said = command.good("collect", "study.db", "--export", "answers.csv")
    assert said == "10 answers written to answers.csv; 0 more were skipped, taken back or catch trials\n"
    for source in ("study.db", "answers.csv"):
        built = command("build", "--from-triplets", source, "--classes", "flowers.txt", "-o", f"{source}.safetensors")
        assert (built.code, "embedding" in built.err) == (0, False)
    shown = [command.good("show", f"{source}.safetensors", "--json") for source in ("study.db", "answers.csv")]
    assert '"influence"' in shown[0]
    assert shown[0].replace("study.db", "answers.csv") == shown[1]
    assert_mendable(command("collect", "study.db", "--export", "answers.csv"), "answers.csv: is there already")
    command.good("collect", "study.db", "--export", "answers.csv", "--force")


def test_sparse_triplets_are_said_to_be_embedded(command: Command) -> None:
    (command.folder / "flowers.txt").write_text("\n".join(NAMES))
    with Study(command.folder / "study.db", TRIPLETS) as study:
        who, _ = study.join()
        for items in ((0, 1, 2), (0, 1, 3), (0, 1, 4)):
            study.answer(who, study.ask(who, items, "ask").number, 2)
    result = command("build", "--from-triplets", "study.db", "--classes", "flowers.txt")
    assert result.code == 0
    assert "3 of the 10 pairs are in no triplet; an ordinal embedding gives all values, and errs on" in result.err


def test_bad_input_is_one_message_and_nothing_is_written(command: Command) -> None:
    (command.folder / "flowers.txt").write_text("\n".join(NAMES))
    (command.folder / "other.txt").write_text("rose\ntulip\nlorry\n")
    (command.folder / "images").mkdir()
    answered(command.folder / "study.db", is_whole=False)
    with Study(command.folder / "empty.db", TRIPLETS):
        pass
    new = ("collect", "new.db", "--classes", "flowers.txt", "--no-browser")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        before = sorted(path.name for path in command.folder.iterdir())
        for arguments, parts in (
            (("collect", "new.db"), ("there is no study new.db yet", "(--classes, --task)")),
            ((*new, "--task", "ratings"), ("ratings need a scale with two ends; give it, as --scale 1:7",)),
            ((*new, "--task", "ratings", "--scale", "1:"), ("--scale must be two numbers", "'1:'")),
            ((*new, "--task", "triplets", "--images", "images"), ("images: has no picture for rose, tulip",)),
            ((*new, "--task", "triplets", "--consent", "none.txt"), ("none.txt: there is no such file",)),
            (("collect", "none.db", "--export", "x.csv"), ("none.db: there is no such file",)),
            (("collect", "flowers.txt", "--export", "x.json"), ("x.json: an export is a table with commas; name it",)),
            (("collect", "flowers.txt", "--export", "x.csv"), ("flowers.txt: is no study of simmatrix collect",)),
            (("collect", "study.db", "--classes", "other.txt"), ("study of other classes", "bus, lorry, oak, truck")),
            (("collect", "study.db", "--no-browser", "--port", port), (f"port {port} is in use; give another port",)),
            (("build", "--from-ratings", "study.db", "--classes", "flowers.txt"), ("--from-triplets",)),
            (("build", "--from-triplets", "empty.db", "--classes", "flowers.txt"), ("a study without answers so far",)),
        ):
            assert_mendable(command(*arguments), *parts)
            assert sorted(path.name for path in command.folder.iterdir()) == before, arguments


def test_a_study_of_pictures_needs_them_again(command: Command) -> None:
    with Study(command.folder / "study.db", Design("triplets", NAMES, has_images=True)):
        pass
    assert_mendable(command("collect", "study.db", "--no-browser"), "shows pictures", "--images")
