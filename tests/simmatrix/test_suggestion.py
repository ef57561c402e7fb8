"""What is suggested for a class list, and the table to edit, against lists whose source anyone can tell."""

import csv
import importlib.util
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest

import simmatrix
from simmatrix import ClassList, OutputError, suggestion
from tests.cli.command import COMMAND

NEWSGROUPS = """
alt.atheism comp.graphics comp.os.ms-windows.misc comp.sys.ibm.pc.hardware comp.sys.mac.hardware comp.windows.x
misc.forsale rec.autos rec.motorcycles rec.sport.baseball rec.sport.hockey sci.crypt sci.electronics sci.med sci.space
soc.religion.christian talk.politics.guns talk.politics.mideast talk.politics.misc talk.religion.misc
"""
BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


def test_each_list_gets_the_source_that_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    spec = importlib.util.spec_from_file_location("class_lists", BENCHMARKS / "class_lists.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "class_lists", module)
    spec.loader.exec_module(module)
    assert len(module.LISTS) == 23
    for name, one in module.LISTS.items():
        found = simmatrix.suggest(one.classes)
        assert found.source == one.source, name
        assert (found.command == "") == (found.source == ""), name
        # No nonsense without a word: a matrix of words for words alone.
        refused = module.said_by_build(one.classes).startswith("refused")
        assert refused or found.source in ("from_wordnet", "from_embeddings"), name


def test_words() -> None:
    found = simmatrix.suggest(["otter", "seal", "walrus", "bass"])
    assert (found.source, found.command) == ("from_wordnet", "simmatrix build --from-wordnet --classes classes")
    assert [one[:2] for one in found.lookups] == [("WordNet", 4), ("word vectors", 4)]
    # The animals make the sense of a seal.
    assert found.table.column("synset")[1] == "seal.n.09"
    assert found.table.column("meaning")[1].startswith("any of numerous marine mammals")
    doubts = list(map(float, found.table.column("doubt")))
    shown = found.doubtful()
    assert [doubts[found.table.names.index(name)] for name in shown] == sorted(
        (one for one in doubts if one), reverse=True
    )
    assert found.doubtful(1) == shown[:1]


def test_one_misspelt_name_of_an_order_is_told() -> None:
    for names, meant in (
        ("Monday Tuesday Wensday Thursday Friday", "days of the week, which go round, if Wensday is wednesday"),
        ("Never Rarely Somtimes Often Always", "Often < Always, if Somtimes is sometimes"),
    ):
        found = simmatrix.suggest(names.split())
        assert found.source == "from_order"
        assert found.reason.endswith(meant)
    # Two of them are no such order.
    assert simmatrix.suggest(["Monday", "Tuseday", "Wensday", "Thursday", "Friday"]).source != "from_order"


def test_what_sources_lack_is_named_as_it_is() -> None:
    found = simmatrix.suggest(["Abyssinian", "beagle", "boxer", "pug", "Sphynx", "keeshond"])
    assert found.source == "from_encoder"
    assert found.reason.startswith(
        "the word vectors lack Sphynx, keeshond; WordNet lacks 'Sphynx' (did you mean sphinx"
    )
    vehicles = ["tractor", "bicycle", "bus", "lorry", "train", "tram", "canoe", "sledge", "wagon", "barrow"]
    found = simmatrix.suggest([*vehicles, "bulldozzer"])
    assert found.reason.startswith("WordNet lacks 'bulldozzer' (did you mean bulldozer, ")


def test_classes_that_are_known_by_their_last_words_are_named() -> None:
    animals = ["tiger", "lion", "leopard", "otter", "rose"]
    found = simmatrix.suggest([*animals, "Hosue_Cat"])
    assert [one.by_head for one in found.lookups] == [("Hosue_Cat",)] * 2
    # A hierarchy goes before vectors, where few are known so.
    assert (found.source, found.reason) == (
        "from_wordnet",
        "WordNet has all of the names, of Hosue_Cat the last words alone",
    )
    found = simmatrix.suggest([*animals[:3], "Hosue_Cat"])
    assert found.source == "from_embeddings"
    assert "WordNet knows only the last words of Hosue_Cat, which --from-wordnet takes" in found.reason


def test_a_verb_among_nouns_is_told() -> None:
    animals = ["tiger", "lion", "leopard", "otter", "rose"]
    found = simmatrix.suggest([*animals, "befriend"])
    assert found.source != "from_wordnet"
    assert "WordNet knows befriend as a verb alone, and the others as nouns" in found.reason
    assert found.table.column("synset")[:5] == simmatrix.suggest(animals).table.column("synset")


def test_verbs_are_told_by_what_they_are_kinds_of() -> None:
    table = simmatrix.suggest(["befriend", "decorate", "decide"]).table
    assert table.column("synset")[1:] == ("decorate.v.01", "decide.v.01")
    assert table.column("meaning")[1] == "a kind of change.v.01"
    # Nothing is above this one in WordNet 3.0.
    assert table.column("meaning")[2] == "decide, make_up_one's_mind, determine"


def test_what_is_not_found_is_the_most_doubtful() -> None:
    found = simmatrix.suggest(["otter", "qqzzx", "seal"])
    assert found.doubtful(1) == ("qqzzx",)
    assert [one.missing for one in found.lookups] == [("qqzzx",), ("qqzzx",)]


@pytest.mark.parametrize(
    ("columns", "source", "reason"),
    [
        ({"synset": ("oak.n.02", "")}, "from_wordnet", "the class list has the column synset"),
        ({"superclass": ("a", "b")}, "from_taxonomy", "the class list has the column superclass"),
    ],
)
def test_columns_go_first(columns: dict[str, tuple[str, ...]], source: str, reason: str) -> None:
    found = simmatrix.suggest(ClassList(("LABEL_1", "LABEL_2"), columns))
    assert (found.source, found.reason) == (source, reason)


def test_the_table_is_a_class_list_to_build_from(tmp_path: Path) -> None:
    path = tmp_path / "my.tsv"
    (tmp_path / "c.csv").write_text("class,size\notter,2\nseal,3\nwalrus,1\n")
    simmatrix.suggest(tmp_path / "c.csv").save(path)
    with path.open(newline="") as file:
        header, *rows = csv.reader(file, delimiter="\t")
    assert header == ["class", "synset", "meaning", "phrase", "doubt", "size"]
    assert [(row[0], row[-1]) for row in rows] == [("otter", "2"), ("seal", "3"), ("walrus", "1")]
    assert simmatrix.from_classes(path).provenance.resolution["seal"] == {"how": "synset", "words": ["seal.n.09"]}
    with pytest.raises(OutputError, match="is there already; write to another file"):
        simmatrix.suggest(["low", "high", "medium"]).save(path)
    with pytest.raises(OutputError, match=r"ends in \.tsv"):
        simmatrix.suggest(["rose", "oak"]).save(tmp_path / "my.txt")
    simmatrix.suggest(["low", "high", "medium"]).save(path, force=True)
    matrix = simmatrix.from_order(path, decay=0.5, positions="position")
    assert matrix["low", "medium"] == matrix["medium", "high"] == 0.5


def test_a_table_that_pins_a_doubtful_sense_is_warned_of(tmp_path: Path) -> None:
    names = ["rose", "oak", "mouse", "car"]
    with pytest.warns(simmatrix.SenseWarning, match=r"the sense of 1 of the classes is in doubt: oak"):
        simmatrix.from_wordnet(names)
    path = tmp_path / "my.tsv"
    with pytest.warns(simmatrix.SenseWarning, match=r"my\.tsv pins 1 of .* in doubt: oak \(oak\.n\.02\);"):
        simmatrix.suggest(names).save(path)
    # The most doubtful first, and those that are as doubtful as in the list.
    names = ("fir", "elm", "ash", "oak")
    columns = {"synset": ("fir.n.01", "elm.n.01", "ash.n.01", "oak.n.02"), "doubt": ("0.50", "0.49", "0.75", "0.50")}
    lookup = simmatrix.suggest(["rose", "oak"]).lookups
    table = simmatrix.ClassList(names, columns)
    with pytest.warns(simmatrix.SenseWarning, match=r"3 of .*: ash \(ash\.n\.01\), fir \(fir\.n\.01\), oak \(oak"):
        simmatrix.Suggestion("", "", "", lookup, table).save(tmp_path / "other.tsv")
    # The one whose senses stand in the list is in no doubt.
    simmatrix.suggest(path).save(path, force=True)


def test_a_thousand_names_take_less_than_two_seconds() -> None:
    names = simmatrix.read_classes("imagenet1k").column("name")
    started = time.process_time()
    found = simmatrix.suggest(list(dict.fromkeys(names)))
    assert time.process_time() - started < 2
    assert found.lookups[0].found == len(set(names))


def test_of_very_many_names_some_are_looked_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten of 31, evenly spaced: the figures are of these alone, and the reason says so."""
    monkeypatch.setattr("simmatrix.normalise.DENSE_UP_TO", 30)
    monkeypatch.setattr(suggestion, "_SAMPLED", 10)
    known = ["otter", "seal", "walrus", "heron", "eagle", "falcon", "robin", "sparrow", "trout", "salmon"]
    places = [int(at * 3.1) for at in range(10)]
    names = [known[places.index(at)] if at in places else f"zq{at}x" for at in range(31)]
    found = simmatrix.suggest(names)
    assert found.table.names == tuple(known)
    assert (found.left_out, [one.found for one in found.lookups]) == (21, [10, 10])
    assert found.reason == "going by 10 of the 31 names: WordNet has all of the names"
    # The others may lack some, as they do here; and all pairs of very many would be too large.
    assert found.command == "simmatrix build --from-wordnet --oov drop --top-k 32 --classes classes"
    with pytest.raises(simmatrix.OutputError, match="21 of them were not looked up"):
        found.save(tmp_path / "c.tsv")
    assert not any(tmp_path.iterdir())
    grouped = simmatrix.ClassList(names, {"superclass": ["a", *"b" * 30]})
    assert simmatrix.suggest(grouped).command.startswith("simmatrix build --from-taxonomy superclass --top-k 32 ")
    found = simmatrix.suggest(names[:30])
    assert (found.left_out, "--top-k" in found.command) == (0, False)


def test_the_command_reads_the_list_as_it_was_read(tmp_path: Path) -> None:
    """It is typed as it stands, and builds."""
    path = tmp_path / "c.csv"
    path.write_text("id,label,where\n1,otter,x\n2,seal,x\n3,oak,y\n4,elm,y\n")
    found = simmatrix.suggest(path, class_column="label")
    assert tuple(found.table.names) == ("otter", "seal", "oak", "elm")
    assert found.command == f"simmatrix build --from-wordnet --classes {path} --class-column label"
    path.write_text("id,label\n1,poor\n2,good\n3,fair\n4,excellent\n")
    found = simmatrix.suggest(path, class_column="label")
    assert found.command.startswith(f"simmatrix suggest {path} --class-column label -o my.tsv && ")
    path.write_text("class\na > otter\na > seal\nb > oak\nb > elm\n")
    found = simmatrix.suggest(path, separator=" > ")
    assert found.command == f"simmatrix build --from-taxonomy level_1 --classes {path} --separator ' > '"


def test_what_is_printed_for_paths_builds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The 20 Newsgroups are paths of two to four parts; so are these products."""
    monkeypatch.chdir(tmp_path)
    products = ["a > b > c > d", "a > b > c > e", "a > b > f", "a > g", "h > i > j > k", "h > i > l"]
    for name, names in (("n.txt", NEWSGROUPS.split()), ("p.txt", products)):
        Path(name).write_text("\n".join(names))
        command = [COMMAND, *shlex.split(simmatrix.suggest(name).command)[1:], "-o", f"{name}.safetensors"]
        subprocess.run(command, check=True, capture_output=True)
        matrix = simmatrix.load(f"{name}.safetensors")
        assert matrix.provenance.builder == "taxonomy"
    first, second, third, fourth, *_, last = products
    assert matrix[first, second] > matrix[first, third] > matrix[first, fourth] > matrix[first, last]
