"""`simmatrix suggest`, and what build says of names that are no words."""

import math
from pathlib import Path

import simloss
import simmatrix
from tests.cli.command import Command, assert_mendable

GRADES = "strongly disagree\ndisagree\nneutral\nagree\nstrongly agree\n"


def test_what_it_prints_is_the_librarys(command: Command) -> None:
    Path("c.txt").write_text("otter\nseal\nwalrus\nqqzzx\n")
    found = simmatrix.suggest("c.txt")
    lines = command.good("suggest", "c.txt", "-o", "my.tsv").splitlines()
    assert lines[:3] == [
        "classes       4",
        f"source        --{found.source.replace('_', '-')}",
        f"since         {found.reason}",
    ]
    assert "WordNet       3 of 4; not qqzzx" in lines
    table = lines[lines.index("") + 1 : -2]
    assert [line.split()[0] for line in table] == ["class", *found.doubtful()]
    assert lines[-2:] == ["my.tsv: 4 classes to edit", f"next: {found.command.removesuffix('c.txt')}my.tsv"]
    assert table[1].split() == ["qqzzx", "not", "found"]
    assert command.good("suggest", "--classes", "c.txt").splitlines()[:3] == lines[:3]
    for none_or_two in ((), ("c.txt", "--classes", "c.txt")):
        result = command("suggest", *none_or_two)
        assert (result.code, "give one class list" in result.err) == (2, True)
    found.save("python.tsv")
    assert Path("my.tsv").read_bytes() == Path("python.tsv").read_bytes()
    assert_mendable(command("suggest", "c.txt", "-o", "my.tsv"), "my.tsv: is there already")
    command.good("suggest", "c.txt", "-o", "my.tsv", "--force", "-n", "0")


def test_what_is_misspelt_is_to_be_corrected_first(command: Command) -> None:
    """Only what nothing is spelt like is to be dropped."""
    names = ["hammer", "wrench", "screwdriver", "hacksaw", "drill", "chisel", "shovel", "rake", "otter", "walrus"]
    trees = ["oak", "elm", "beech", "maple", "pine", "birch", "willow", "cedar", "larch", "yew"]
    for unknown, first, drop in (
        (["pliars"], "first: correct 'pliars' (did you mean pliers, ", ""),
        (["qqzzx"], "", " --oov drop"),
        (["pliars", "qqzzx"], "first: correct 'pliars' (did you mean pliers, ", " --oov drop"),
    ):
        Path("c.txt").write_text("\n".join([*names, *trees, *unknown]))
        *_, before, last = command.good("suggest", "c.txt").splitlines()
        assert last == f"next: simmatrix build --from-wordnet{drop} --classes c.txt"
        end = "?) in c.txt" + ("" if drop else ", or add --oov drop to the command if they are spelt right")
        assert (before.startswith(first) and before.endswith(end)) if first else "correct" not in before
        assert [*simmatrix.suggest("c.txt").misspelt] == [one for one in unknown if one == "pliars"]
    assert command("suggest", "c.txt", "-o", "my.tsv").out.splitlines()[-2].endswith("?) in my.tsv")


def test_a_table_that_pins_a_doubtful_sense_is_warned_of(command: Command) -> None:
    Path("c.txt").write_text("rose\noak\nmouse\ncar\n")
    result = command("suggest", "c.txt", "-o", "my.tsv", "-n", "0")
    assert result.code == 0
    assert result.err.startswith(
        "warning: my.tsv pins 1 of the classes to a sense that is in doubt: oak (oak.n.02); check"
    )
    assert Path("my.tsv").is_file()
    command.good("suggest", "c.txt")


def test_a_column_that_is_called_doubt_may_hold_anything(command: Command) -> None:
    """Where the names are looked up nowhere, it is the list's own."""
    Path("c.tsv").write_text("class\tdoubt\npoor\tyes\nfair\tno\ngood\tno\n")
    command.good("suggest", "c.tsv", "-o", "my.tsv")
    assert simmatrix.read_classes("my.tsv").column("doubt") == ("yes", "no", "no")


def test_what_it_proposes_works(command: Command) -> None:
    Path("c.txt").write_text(GRADES)
    last = command.good("suggest", "c.txt").splitlines()[-1]
    assert last == "next: simmatrix build --from-order --decay 0.5 --classes c.txt"
    command(*last.removeprefix("next: simmatrix ").split())
    matrix = simmatrix.load("c.safetensors")
    assert matrix["strongly disagree", "disagree"] == 0.5 > matrix["strongly disagree", "strongly agree"]


def test_the_table_that_it_proposes_is_built_from(command: Command) -> None:
    Path("grades.txt").write_text("low\nhigh\nmedium\n")
    Path("groups.tsv").write_text("class\tsuperclass\nrose\tplant\noak\tplant\ncar\tmachine\n")
    Path("a && b.txt").write_text("otter\nseal\nwalrus\n")
    *_, last = command.good("suggest", "a && b.txt", "-o", "my.tsv").splitlines()
    assert last == "next: simmatrix build --from-wordnet --classes my.tsv"
    for listed in ("grades.txt", "groups.tsv"):
        *_, last = command.good("suggest", listed, "-o", "my.tsv", "--force").splitlines()
        command(*last.removeprefix("next: simmatrix ").split(), "-o", f"{listed}.safetensors")
    grades, groups = (simmatrix.load(f"{listed}.safetensors") for listed in ("grades.txt", "groups.tsv"))
    assert grades["low", "medium"] == grades["medium", "high"] == 0.5
    # By the groups, as without the table, and not by the synsets that the table proposes.
    assert groups.provenance.builder == simmatrix.from_classes("groups.tsv").provenance.builder == "taxonomy"
    assert (groups.to_dense() == simmatrix.from_classes("groups.tsv").to_dense()).all()


def test_columns_that_are_not_used_are_told(command: Command) -> None:
    rows = ("sedan,car,road", "coupe,car,road", "lorry,truck,road", "ferry,ship,water", "tanker,ship,water")
    Path("c.csv").write_text("\n".join(("name,group,family", *rows)))
    reason = "the class list has the column group; not used: family; for both: --from-taxonomy group,family"
    for found in (command.good("suggest", "c.csv"), command.good("build", "--classes", "c.csv")):
        assert reason in found
    command.good("build", "--classes", "c.csv", *reason.split()[-2:], "-o", "both")
    assert simmatrix.load("both").provenance.params["columns"] == ["group", "family"]


def test_build_warns_of_grades_in_another_order(command: Command) -> None:
    Path("c.txt").write_text("strongly disagree\nagree\nneutral\ndisagree\nstrongly agree\n")
    result = command("build", "--from-order", "--decay", "0.5", "--classes", "c.txt")
    assert result.code == 0
    assert "the classes stand in another order" in result.err
    assert "--positions position --classes my.tsv" in result.err
    # The list is read as it was.
    Path("bins.csv").write_text("bin\n3\n10\n4\n5\n")
    result = command("build", "--from-order", "--decay", "0.5", "--classes", "bins.csv", "--class-column", "bin")
    right = result.err.split("build from that: simmatrix ")[1].split("\n")[0]
    command.good(*right.split())
    # As they stand, or the other way round.
    for lines in (GRADES.splitlines(), GRADES.splitlines()[::-1]):
        Path("c.txt").write_text("\n".join(lines))
        out = command.good("build", "--from-order", "--decay", "0.5", "--classes", "c.txt")
        # What other losses do for an order is in docs/choosing.md.
        assert "classes=train_set.classes, share=0.8)" in out
        assert out.splitlines()[-1].endswith("soft labels are milder still: build with --kernel triangular")
        out = command.good("build", "--from-order", "--kernel", "triangular", "--classes", "c.txt")
        assert out.splitlines()[-1].startswith('next: criterion = simloss.SoftLabelLoss.from_file("c.safetensors", ')
        # A neighbour gets half as much as the class itself: exp(-beta / 4) of five classes.
        assert out.splitlines()[-1].endswith(f"classes=train_set.classes, beta={4 * math.log(2):.2g})")
        simloss.SoftLabelLoss.from_file("c.safetensors", beta=2.8)  # warns of nothing


def test_build_refuses_names_that_are_no_words_and_warns_where_a_source_is_named(command: Command) -> None:
    Path("c.txt").write_text(GRADES)
    reason = "the names are grades: strongly disagree < disagree < neutral < agree < strongly agree"
    right = "simmatrix build --from-order --decay 0.5 --classes c.txt"
    assert_mendable(command("build", "--classes", "c.txt"), reason, right)
    assert [path.name for path in Path().iterdir()] == ["c.txt"]
    result = command("build", "--classes", "c.txt", "--from-embeddings", "glove-6b-50d")
    assert result.code == 0
    assert result.err.startswith(f"warning: {reason}")
    assert result.err.count("\n") == 1
    # An order is meant so.
    command.good("build", "--from-order", "--decay", "0.1", "--classes", "c.txt")


def test_names_of_another_language_are_warned_of(command: Command) -> None:
    Path("c.txt").write_text("der\nund\nvon\ndas\n")
    result = command("build", "--classes", "c.txt")
    assert result.code == 0
    assert "few of the names are English words, as those of glove-6b-50d are" in result.err


def test_classes_that_a_source_lacks_are_left_out_if_asked(command: Command) -> None:
    Path("c.txt").write_text("otter\nqqzzx\nseal\nwalrus\n")
    Path("t.txt").write_text("animal otter\nanimal seal\nplant walrus\nthing animal\nthing plant\n")
    for source in (("--from-wordnet",), ("--from-taxonomy", "t.txt")):
        assert_mendable(command("build", *source, "--classes", "c.txt"), "qqzzx")
        result = command("build", *source, "--classes", "c.txt", "--oov", "drop")
        assert (result.code, "warning: not found, left out: qqzzx (1 of the classes)" in result.err) == (0, True)
        matrix = simmatrix.load("c.safetensors")
        assert matrix.classes == ("otter", "seal", "walrus")
        assert matrix.provenance.params["dropped"] == ["qqzzx"]
    Path("few.txt").write_text("qqzzx\notter\n")
    assert_mendable(
        command("build", "--from-wordnet", "--classes", "few.txt", "--oov", "drop"), "1 of the 2 classes are found"
    )


def test_pairs_that_are_set_come_last(command: Command) -> None:
    Path("p.csv").write_text("cat,dog,0.9\nship,frog,0.01\n")
    command.good("build", "--classes", "cifar10", "--top-k", "2", "--pairs", "p.csv", "-o", "m")
    expected = simmatrix.from_classes("cifar10").top_k(2).with_pairs({("cat", "dog"): 0.9, ("ship", "frog"): 0.01})
    matrix = simmatrix.load("m")
    assert (matrix.to_dense() == expected.to_dense()).all()
    assert [one.name for one in matrix.provenance.source][-1] == "p.csv"
    command.good("blend", "m:0.5", "m:0.5", "--pairs", "p.csv", "-o", "b")
    assert simmatrix.load("b")["dog", "cat"] == matrix["cat", "dog"]
    Path("p.csv").write_text("cat,dgo,0.9\n")
    assert_mendable(
        command("build", "--classes", "cifar10", "--pairs", "p.csv", "-o", "x"), "'dgo' (did you mean dog?)"
    )
    assert not Path("x").exists()
