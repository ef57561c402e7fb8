"""`simmatrix plot`: a picture of the format asked for, the same each time."""

import os
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.image import imread

import simmatrix
from simmatrix import SimilarityMatrix
from tests.cli.command import COMMAND, Command, assert_mendable

HEADS = {"png": b"\x89PNG\r\n\x1a\n", "svg": b"<?xml", "pdf": b"%PDF"}


@pytest.fixture(autouse=True)
def small(command: Command) -> None:
    simmatrix.from_embeddings(classes="cifar10", lower_bound=0.2).save("m.safetensors")


@pytest.mark.parametrize("kind", HEADS)
def test_a_picture_is_the_same_each_time(kind: str, command: Command) -> None:
    for name in ("one", "two"):
        out = command.good("plot", "m.safetensors", "-o", f"{name}.{kind}")
        assert out == f"{name}.{kind}: 10 classes, ordered by clusters\n"
    one, two = (Path(f"{name}.{kind}").read_bytes() for name in ("one", "two"))
    assert one.startswith(HEADS[kind])
    assert len(one) > 2000
    assert one == two


def test_orders_give_other_pictures(command: Command) -> None:
    pictures = set()
    for order in ("clusters", "file"):
        command.good("plot", "m.safetensors", "--order", order)
        pictures.add(Path("m.png").read_bytes())
    assert len(pictures) == 2


def test_small_similarities_are_seen(command: Command) -> None:
    """The greatest similarity of two classes is yellow, however small, in two cells of nine; the diagonal is grey."""
    yellow = colormaps["viridis"](1.0)[:3]
    cells = []
    for name, similarity in (("none", 0.0), ("small", 0.01), ("large", 0.9)):
        values = np.eye(3)
        values[0, 1] = values[1, 0] = similarity
        SimilarityMatrix(values, ("rose", "tulip", "bus")).save(name)
        command.good("plot", name, "-o", f"{name}.png")
        pixels = imread(f"{name}.png")[..., :3]
        light, grey = (int((np.abs(pixels - colour).max(axis=-1) < 0.02).sum()) for colour in (yellow, (0.85,) * 3))
        cells.append(round(3 * light / grey, 1))
    assert cells == [0, 2, 2]


def test_superclasses_of_the_bundled_list(command: Command) -> None:
    simmatrix.from_embeddings(classes="cifar100", lower_bound=0.5).save("c.safetensors")
    assert "ordered by superclass" in command.good("plot", "c.safetensors", "--order", "superclass", "-o", "c.svg")


def test_superclasses_have_to_be_known(command: Command) -> None:
    SimilarityMatrix(np.eye(2), ("rose", "oak")).save("own")
    right = "simmatrix plot own --order superclass --classes LIST.tsv"
    assert_mendable(command("plot", "own", "--order", "superclass"), right, "has the columns class and superclass")
    Path("c.tsv").write_text("class\tsuperclass\noak\ttrees\nrose\tflowers\n")
    command.good("plot", "own", "--order", "superclass", "--classes", "c.tsv")
    Path("group.csv").write_text("name,group,kin\noak,trees,x\nrose,flowers,y\n")
    command.good("plot", "own", "--order", "superclass", "--classes", "group.csv")
    Path("kin.csv").write_text("name,kin\noak,x\nrose,y\n")
    assert_mendable(
        command("plot", "own", "--order", "superclass", "--classes", "kin.csv"),
        "kin.csv: has no superclass column (it has kin); give a table (.csv, .tsv) with one beside class, such as "
        "superclass or group",
    )
    # A matrix that was built from a column has its groups for superclasses, whatever it is called.
    simmatrix.from_taxonomy("kin", Path("kin.csv"), measure="lcs-height").save("of_kin")
    command.good("plot", "of_kin", "--order", "superclass", "--classes", "kin.csv")
    Path("c.tsv").write_text("class\tsuperclass\noak\ttrees\nelm\ttrees\n")
    result = command("plot", "own", "--order", "superclass", "--classes", "c.tsv")
    assert_mendable(result, "c.tsv: has no class 'rose'")


@pytest.mark.parametrize(
    ("options", "part"),
    [
        (("-o", "m.jpg"), "m.jpg: a picture ends in .png, .svg, .pdf"),
        (("-o", "missing/m.png"), "the folder missing does not exist"),
    ],
)
def test_what_cant_be_drawn(options: tuple[str, ...], part: str, command: Command) -> None:
    assert_mendable(command("plot", "m.safetensors", *options), part)
    assert [path.name for path in command.folder.iterdir()] == ["m.safetensors"]


def test_too_many_classes_are_refused(command: Command) -> None:
    names = [f"c{index}" for index in range(5_001)]
    simmatrix.from_order(names, decay=0.5).save("long.safetensors")
    for order in ("clusters", "file"):
        result = command("plot", "long.safetensors", "--order", order)
        assert_mendable(result, "5,001 classes", "5,000 is the most", "matrix.select(names).save(FILE)")
    assert not Path("long.png").exists()


def test_names_are_no_formulas(command: Command) -> None:
    SimilarityMatrix(np.eye(2), (r"$\frac$", "$x$")).save("m.safetensors")
    command.good("plot", "m.safetensors", "-o", "m.svg")


def test_long_names_leave_room_for_the_matrix(command: Command) -> None:
    SimilarityMatrix(np.eye(3), ("a" * 200, "b" * 200, "rose")).save("long")
    command("plot", "long", "-o", "long.svg")
    drawn = Path("long.svg").read_bytes()
    SimilarityMatrix(np.eye(3), ("a" * 100 + "z" + "a" * 100, "b" * 150, "rose")).save("other")
    command("plot", "other", "-o", "other.svg")
    assert drawn == Path("other.svg").read_bytes()


SETTINGS = "text.usetex: True\nfont.size: 30\nsavefig.bbox: tight\nfont.family: serif\nno.such: 1\n"


@pytest.mark.slow
def test_a_user_s_settings_change_no_picture(command: Command) -> None:
    command.good("plot", "m.safetensors")
    elsewhere = {"MPLBACKEND": "module://matplotlib_inline.backend_inline"}
    Path("matplotlibrc").write_text(SETTINGS)
    arguments = [COMMAND, "plot", "m.safetensors", "-o", "other.png"]
    done = subprocess.run(arguments, env=os.environ | elsewhere, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert Path("other.png").read_bytes() == Path("m.png").read_bytes()
    Path("matplotlibrc").write_bytes(b"font.size: \xff\n")
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: matplotlib can't read its settings ('utf-8' codec")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("kind", HEADS)
def test_what_it_did_not_draw_is_left_alone(kind: str, command: Command) -> None:
    file = Path(f"thesis.{kind}")
    command.good("plot", "m.safetensors", "-o", file)
    ours = file.read_bytes()
    # A thesis that holds our picture, one that matplotlib drew for somebody else, and the start of one.
    figure = Figure()
    figure.subplots().plot([1, 2])
    figure.savefig("theirs", format=kind)
    for content in (b"%PDF-1.5\n" + b" " * 300 + ours + b"\n%%EOF\n", Path("theirs").read_bytes(), ours[:20], b"\n"):
        file.write_bytes(content)
        assert_mendable(command("plot", "m.safetensors", "-o", file), f"{file}: is there already and was not drawn by")
        assert file.read_bytes() == content
    command.good("plot", "m.safetensors", "-o", file, "--force")
    assert file.read_bytes() == ours
    file.write_bytes(b"")
    command.good("plot", "m.safetensors", "-o", file)


def test_names_outside_the_fonts_are_said_once(command: Command) -> None:
    # The first is in another font than the usual one, the others are in none that matplotlib brings with it.
    SimilarityMatrix(np.eye(3), ("\u2335 rose", "\U000f0001\U000f0002", "\U000f0001 oak")).save("m.safetensors")
    result = command("plot", "m.safetensors")
    warning = (
        "warning: no installed font has \U000f0001, \U000f0002; boxes stand for them. Install a font that has them\n"
    )
    assert (result.code, result.err) == (0, warning)


def test_a_font_that_has_the_name_is_used(command: Command) -> None:
    SimilarityMatrix(np.eye(2), ("\u2335", "oak")).save("m.safetensors")
    command.good("plot", "m.safetensors", "-o", "m.pdf")
    drawn = Path("m.pdf").read_bytes()
    # Which of those that have it depends on what is installed; DejaVu Sans Mono has, which matplotlib brings with it.
    fonts = set(re.findall(rb"/BaseFont /[A-Z]+\+(\S+)", drawn))
    assert len(fonts - {b"DejaVuSans"}) == 1
