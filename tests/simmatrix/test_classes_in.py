"""Every form that a class list comes in, in files as their makers write them, and what is wrong with others."""

import json
import tracemalloc
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from simmatrix import classes_in, from_taxonomy
from simmatrix.classes import ClassList, read_classes
from simmatrix.errors import ClassOrderError, ParameterError, SourceError

# As torchvision, keras and Hugging Face write them, cut to a few classes.
MODEL = {
    "architectures": ["ViTForImageClassification"],
    "id2label": {"0": "tench, Tinca tinca", "1": "goldfish", "2": "hen"},
    "label2id": {"goldfish": 1, "hen": 2, "tench, Tinca tinca": 0},
    "num_channels": 3,
}
INFOS = {
    "plain_text": {
        "description": "Large Movie Review Dataset.",
        "features": {
            "text": {"dtype": "string", "id": None, "_type": "Value"},
            "label": {"num_classes": 2, "names": ["neg", "pos"], "names_file": None, "id": None, "_type": "ClassLabel"},
        },
        "splits": {"train": {"name": "train", "num_bytes": 33432835}},
    }
}
TWO_LABELS = {
    "features": {
        "img": {"_type": "Image"},
        "fine_label": {"names": ["apple", "bee"], "_type": "ClassLabel"},
        "coarse_label": {"names": ["fruit", "insects"], "_type": "ClassLabel"},
        "tags": {"feature": {"names": ["B-PER", "I-PER", "O"], "_type": "ClassLabel"}, "_type": "Sequence"},
    }
}
COCO = {
    "info": {"year": 2017},
    "images": [],
    "annotations": [],
    "categories": [
        {"supercategory": "person", "id": 1, "name": "person"},
        {"supercategory": "animal", "id": 18, "name": "dog"},
        {"supercategory": "vehicle", "id": 2, "name": "bicycle"},
    ],
}
ULTRALYTICS = """# COCO128 dataset
path: ../datasets/coco128 # dataset root dir
train: images/train2017
val: images/train2017
test: # test images (optional)

# Classes
names:
  0: person
  1: no
  2: hot dog
"""
CHOICES = """<View>
  <Image name="image" value="$image"/>
  <Choices name="choice" toName="image">
    <Choice value="Adult content"/>
    <Choice value="Weapons" />
    <Choice value="Violence &amp; gore"/>
  </Choices>
</View>"""
TAXONOMY = """<View><Text name="text" value="$text"/>
  <Taxonomy name="taxonomy" toName="text">
    <Choice value="Archaea"/>
    <Choice value="Eukarya"><Choice value="Human"/><Choice value="Plants"><Choice value="Rose"/></Choice></Choice>
  </Taxonomy></View>"""
SYNSETS = "n01440764 tench, Tinca tinca\nn01443537 goldfish, Carassius auratus\nn01514859 hen\n"

# The file's name, its text, the names in it, the columns, and which of several lists was asked for.
READ: list[tuple[str, str, list[str], Mapping[str, tuple[str, ...]], str | None]] = [
    ("config.json", json.dumps(MODEL), ["tench, Tinca tinca", "goldfish", "hen"], {}, None),
    ("config.json", json.dumps({"label2id": {"b": 1, "a": 0}}), ["a", "b"], {}, None),
    ("dataset_infos.json", json.dumps(INFOS), ["neg", "pos"], {}, None),
    ("dataset_info.json", json.dumps(TWO_LABELS), ["fruit", "insects"], {}, "coarse_label"),
    ("dataset_info.json", json.dumps(TWO_LABELS), ["B-PER", "I-PER", "O"], {}, "tags"),
    ("label.json", '{"names": ["neg", "pos"], "_type": "ClassLabel"}', ["neg", "pos"], {}, None),
    ("class_to_idx.json", '{"rose": 1, "oak": 0}', ["oak", "rose"], {}, None),
    (
        "coco.json",
        json.dumps(COCO),
        ["person", "bicycle", "dog"],
        {"supercategory": ("person", "vehicle", "animal")},
        None,
    ),
    (
        "lvis.json",
        '[{"id": 2, "name": "alligator", "synset": "alligator.n.02"}, {"id": 1, "name": "aerosol_can"}]',
        ["aerosol_can", "alligator"],
        {"synset": ("", "alligator.n.02")},
        None,
    ),
    (
        "imagenet_class_index.json",
        '{"0": ["n01440764", "tench"], "1": ["n01484850", "great_white_shark"]}',
        ["n01440764", "n01484850"],
        {
            "name": ("tench", "great_white_shark"),
            "synset": ("n01440764", "n01484850"),
            "phrase": ("tench", "great white shark"),
        },
        None,
    ),
    ("data.yaml", ULTRALYTICS, ["person", "no", "hot dog"], {}, None),
    ("data.yml", "nc: 2\nnames: ['pit bull', on]\n", ["pit bull", "on"], {}, None),
    (
        "README.yaml",
        "dataset_info:\n  features:\n  - name: label\n    dtype:\n      class_label:\n        names:\n"
        "          '0': World\n          '1': Sports\n",
        ["World", "Sports"],
        {},
        None,
    ),
    ("choices.xml", CHOICES, ["Adult content", "Weapons", "Violence & gore"], {}, None),
    (
        "taxonomy.xml",
        TAXONOMY,
        ["Archaea", "Human", "Rose"],
        {
            "level_1": ("Archaea", "Eukarya", "Eukarya"),
            "level_2": ("Archaea", "Eukarya", "Eukarya > Plants"),
            "phrase": ("Archaea", "Human", "Rose"),
        },
        None,
    ),
    (
        "LOC_synset_mapping.txt",
        SYNSETS,
        ["n01440764", "n01443537", "n01514859"],
        {
            "name": ("tench", "goldfish", "hen"),
            "synset": ("n01440764", "n01443537", "n01514859"),
            "phrase": ("tench, Tinca tinca", "goldfish, Carassius auratus", "hen"),
        },
        None,
    ),
    ("imagenet_synsets.txt", "n01440764\nn01443537\n", ["n01440764", "n01443537"], {}, None),
    ("coco.names", "person\nhot dog\n", ["person", "hot dog"], {}, None),
    ("labels.csv", "label,count\nrose,3\noak,4\n", ["rose", "oak"], {"count": ("3", "4")}, None),
    ("labels.csv", "category,label\nflower,rose\ntree,oak\n", ["rose", "oak"], {"category": ("flower", "tree")}, None),
    # What a dash follows is part of the name.
    (
        "stages.txt",
        "1 - Planning\n2 - Alpha\n3 - Beta\n4 - Stable\n5 - Mature\n",
        ["1 - Planning", "2 - Alpha", "3 - Beta", "4 - Stable", "5 - Mature"],
        {},
        None,
    ),
    ("classes.tsv", "class\tname\nx\trose\ny\toak\n", ["rose", "oak"], {"class_": ("x", "y")}, "name"),
    # CUB-200's classes.txt, and Places365's categories.
    (
        "classes.txt",
        "1 001.Black_footed_Albatross\n2 002.Laysan_Albatross\n3 003.Sooty_Albatross\n4 004.Groove_billed_Ani\n"
        "5 005.Crested_Auklet\n",
        [
            "001.Black_footed_Albatross",
            "002.Laysan_Albatross",
            "003.Sooty_Albatross",
            "004.Groove_billed_Ani",
            "005.Crested_Auklet",
        ],
        {},
        None,
    ),
    (
        "categories_places365.txt",
        "/a/airfield 0\n/a/airplane_cabin 1\n/a/alley 2\n/a/amphitheater 3\n/a/apartment_building/outdoor 4\n",
        ["/a/airfield", "/a/airplane_cabin", "/a/alley", "/a/amphitheater", "/a/apartment_building/outdoor"],
        {},
        None,
    ),
    # Numbers that belong to the names.
    (
        "stars.txt",
        "1 star\n2 stars\n3 stars\n4 stars\n5 stars\n",
        [f"{n} star{'s' * (n > 1)}" for n in range(1, 6)],
        {},
        None,
    ),
    ("phones.txt", "Galaxy 1\nPixel 2\nXperia 3\n", ["Galaxy 1", "Pixel 2", "Xperia 3"], {}, None),
]


@pytest.mark.parametrize(("name", "text", "names", "columns", "column"), READ)
def test_files_as_their_makers_write_them(
    name: str, text: str, names: list[str], columns: Mapping[str, Any], column: str | None, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    listed = read_classes(path, class_column=column)
    assert list(listed.names) == names
    assert dict(listed.columns) == columns


BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [{','.join([f'*{chr(97 + n)}'] * 9)}]\n" for n in range(9)
)
LAUGHS = '<?xml version="1.0"?><!DOCTYPE v [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]><View><Choice value="&b;"/></View>'
WRONG: list[tuple[str, str, str]] = [
    (
        "a.json",
        '{"id2label": {"0": "a", "2": "b"}}',
        "the keys must be the indices 0 to 1, each once; wrong or repeated: 2",
    ),
    ("a.json", '{"id2label": {"0": "a", "0": "b"}}', "wrong or repeated: 0"),
    ("a.json", '{"label2id": {"a": 0, "b": 0}}', "the indices of the names must be the indices 0 to 1, each once"),
    (
        "a.json",
        '{"id2label": {"0": "a", "1": "b"}, "label2id": {"a": 1, "b": 0}}',
        "disagree about index 0: 'a' and 'b'",
    ),
    ("a.json", '{"id2label": 3}', "its id2label is 3, not an object"),
    ("a.json", '{"images": [], "annotations": []}', "has images or annotations and no categories"),
    ("a.json", '{"categories": [{"id": 1}]}', "no list of objects that each have a text name"),
    ("a.json", '{"categories": [{"id": 1, "name": "a"}, {"id": 1, "name": "b"}]}', "have the id 1 twice"),
    ("a.json", '{"categories": [{"id": 1, "name": "a"}, {"name": "b"}]}', "do not all have a whole number as id"),
    ("a.json", json.dumps(TWO_LABELS), "has several: fine_label, coarse_label, tags; say which (class_column="),
    ("a.json", '{"features": {"text": {"_type": "Value"}}}', "hold no ClassLabel with names"),
    ("a.json", '{"rose": "flower", "oak": "tree"}', "holds none of id2label, label2id,"),
    ("a.json", '{"names": ["a", "b"], "labels": ["c", "d"]}', "several lists: names and labels; say which"),
    ("a.json", '["a", ["n01440764", "tench"]]', "some classes have ids and some have none"),
    ("a.json", '["a", ' + '{"a":' * 600 + "1" + "}" * 600 + "]", "class 1 is an object, not a name"),
    ("a.json", "[" * 600 + "1" + "]" * 600, "class 0 is a list, not a name"),
    (
        "a.yaml",
        "names: !!python/object/apply:os.system ['echo']\n",
        "line 1: has the tag 'tag:yaml.org,2002:python/object/",
    ),
    ("a.yaml", "names: !secret [a, b]\n", "has the tag '!secret', and a class list needs none"),
    ("a.yaml", BOMB, "line 2: has an alias (*name), and a class list needs none"),
    ("a.yaml", "names: [a, b\n", "is not YAML"),
    ("a.yaml", "names: " + "[" * 1500 + "]" * 1500, "is YAML that no class list needs"),
    ("a.yaml", "train: x\nval: y\n", "holds none of id2label"),
    ("a.yaml", "names: {0: a, 0: b}\n", "wrong or repeated: 0"),
    ("a.yaml", "# nothing\n", "holds no classes"),
    ("a.xml", LAUGHS, "declares a document type or entities, and a class list needs none"),
    ("a.xml", "<View><Choices>", "is not XML"),
    ("a.xml", "<View><Text/></View>", "has no Choice and no Label"),
    (
        "a.xml",
        '<View><Choices name="x"><Choice value="a"/></Choices><Choices name="y"><Choice value="b"/></Choices></View>',
        'has several: x, y; say which (class_column="x")',
    ),
    ("a.txt", "class\tgroup\nrose\tflower\n", "line 1: holds a tab; if this is a table, rename the file to .tsv"),
    ("a.txt", "rose, tulip\toak\nx\n", "rename the file to .tsv and give it a header"),
    ("a.txt", "car 1 0.1 0 0\nbus .5 -1e-3 0 1\n", "looks like word vectors, each line a word and 4 numbers; give"),
    ("a.txt", "2 3\ncar 1 0.1 0\nbus 1 2 3\n", "looks like word vectors, each line a word and 3 numbers; give"),
    ("a.json", "version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "is a Git LFS pointer"),
    ("a.txt", "<!DOCTYPE html>\n<html>", "is a web page; download the file itself"),
    (
        "a.csv",
        "name,label\nrose,r\noak,o\n",
        'name and label could both hold the classes; say which (class_column="name")',
    ),
]


@pytest.mark.parametrize(("name", "text", "message"), WRONG)
def test_what_is_wrong_is_told_in_one_message(name: str, text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SourceError) as caught:
        read_classes(path)
    assert message in str(caught.value)
    assert str(caught.value).startswith(str(path))
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "class,group\nrose,x\n", "has no column 'kind'; choose class or group"),
        ("a.txt", "rose\noak\n", "has no columns, so none called 'kind'"),
        ("a.json", json.dumps(TWO_LABELS), "has no classes called 'kind'; choose fine_label, coarse_label or tags"),
        ("a.xml", CHOICES, "has no classes called 'kind'; choose choice"),
        ("a.json", '{"names": ["a", "b"]}', "has no 'kind'; say which"),
    ],
)
def test_a_column_that_is_not_there(name: str, text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SourceError) as caught:
        read_classes(path, class_column="kind")
    assert message in str(caught.value)


def test_names_that_end_in_numbers_are_no_vectors(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    for text in ("Boeing 737 800\nAirbus 320 200\n", "rule of 1 2 3\nrule of 3 4 5\n", "1 2 3 4\n5 6 7\n"):
        path.write_text(text)
        assert read_classes(path).names == tuple(text.splitlines())


def test_a_folder_of_folders(tmp_path: Path) -> None:
    tmp_path = tmp_path / "flowers"
    for name in ("rose", "Tulip", "oak"):
        (tmp_path / "train" / name).mkdir(parents=True)
    (tmp_path / "train" / "list.txt").write_text("x")
    listed = read_classes(str(tmp_path / "train"))
    # As torchvision sorts them: by code points.
    # Named after the data set: "train" would be the same for all.
    assert (listed.names, listed.source) == (("Tulip", "oak", "rose"), "flowers")
    with pytest.raises(SourceError, match=r"holds splits and no classes; name one of them: .*train"):
        read_classes(tmp_path)
    (tmp_path / "train" / ".ipynb_checkpoints").mkdir()
    with pytest.raises(
        SourceError, match=r"has a hidden folder \.ipynb_checkpoints, which ImageFolder takes for a class"
    ):
        read_classes(tmp_path / "train")


def test_objects_that_have_classes() -> None:
    folder = SimpleNamespace(classes=["oak", "rose"], class_to_idx={"oak": 0, "rose": 1})
    assert read_classes(folder).names == ("oak", "rose")
    assert read_classes(SimpleNamespace(class_to_idx={"rose": 1, "oak": 0})).names == ("oak", "rose")
    assert read_classes(SimpleNamespace(id2label={1: "rose", 0: "oak"})).names == ("oak", "rose")
    assert read_classes(SimpleNamespace(num_classes=2, names=["neg", "pos"])).names == ("neg", "pos")
    imagenet = SimpleNamespace(wnids=["n01440764", "n01443537"], classes=[("tench", "Tinca tinca"), ("goldfish",)])
    assert read_classes(imagenet) == ClassList(
        ("n01440764", "n01443537"),
        {
            "name": ("tench", "goldfish"),
            "synset": ("n01440764", "n01443537"),
            "phrase": ("tench, Tinca tinca", "goldfish"),
        },
    )
    with pytest.raises(ParameterError, match="the classes are 3, which holds none; give names"):
        read_classes(3)
    with pytest.raises(ClassOrderError, match="are a set"):
        read_classes(SimpleNamespace(classes={"oak", "rose"}))


def test_names_that_are_paths() -> None:
    names = ["Home & Garden > Kitchen > Pots", "Home & Garden > Tools", "Toys > Kites"]
    for separator in (" > ", ">"):
        listed = read_classes(names, separator=separator)
        assert listed.names == tuple(names)
        assert listed.column("phrase") == ("Pots", "Tools", "Kites")
    listed = read_classes(names, separator=" > ")
    assert listed.column("level_1") == ("Home & Garden", "Home & Garden", "Toys")
    assert listed.column("level_2") == ("Home & Garden > Kitchen", "Home & Garden", "Toys")
    # A class that is above others is nearer to them than to what is beside it.
    topics = ["topic > mail", "topic > mail > filters", "topic > mail > post", "topic > games"]
    listed = read_classes(topics, separator=" > ")
    assert listed.column("level_1") == ("topic",) * 4
    assert listed.column("level_2") == ("topic > mail",) * 3 + ("topic",)
    assert listed.column("phrase") == ("mail", "filters", "post", "games")
    matrix = from_taxonomy("level_2,level_1", listed, lower_bound=0.0)
    # 1 / (edges + 1): of 2 and 3 edges.
    assert [round(1 / matrix[topics[0], name]) for name in topics[1:]] == [3, 3, 4]
    places = read_classes(["/a/airfield", "/b/bar", "/b/bakery/shop"], separator="/")
    assert places.column("level_1") == ("a", "b", "b")
    assert places.column("phrase") == ("airfield", "bar", "shop")
    given = ClassList(("a/b", "a/c"), {"phrase": ("x", "")})
    assert read_classes(given, separator="/").column("phrase") == ("x", "")
    with pytest.raises(SourceError, match="no name holds the separator '/'"):
        read_classes(["rose", "oak"], separator="/")


def test_of_a_large_coco_file_the_categories_alone_are_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(classes_in, "_LARGE", 1000)
    path = tmp_path / "instances.json"
    annotations = [{"id": index, "segmentation": [[0.5] * 20]} for index in range(20_000)]
    path.write_text(json.dumps({"annotations": annotations, **COCO, "images": annotations}))
    tracemalloc.start()
    try:
        assert read_classes(path).names == ("person", "bicycle", "dog")
        assert tracemalloc.get_traced_memory()[1] < 3 * path.stat().st_size
    finally:
        tracemalloc.stop()


def test_a_list_of_names_is_no_path() -> None:
    for names in ("rose,tulip,oak", ",".join(["rose"] * 200), "rose, tulip.txt"):
        with pytest.raises(SourceError, match=r"list|too long"):
            read_classes(names)
    with pytest.raises(SourceError, match="write the names themselves one a line, into a file or to standard input"):
        read_classes("rose,tulip,oak")
