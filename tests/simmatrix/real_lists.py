"""Class lists as people have them, a few classes of each, in the form of the file that they come in.

Written from general knowledge of the data sets. The tests of the sources, of `suggest` and of `build` go through them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

from simmatrix.classes import ClassList, read_classes


class RealList(NamedTuple):
    """A list: the name of its file and its text, and what has to be said to read it."""

    file: str
    text: str
    class_column: str | None = None
    separator: str | None = None

    def read(self, folder: Path) -> ClassList:
        """Write the file into a folder, and read it."""
        path = folder / self.file
        path.write_text(self.text, encoding="utf-8")
        return read_classes(path, class_column=self.class_column, separator=self.separator)


def lines(*names: str) -> str:
    return "".join(f"{name}\n" for name in names)


def labels(*names: str) -> str:
    """Write names as a transformers configuration has them."""
    by_index = {str(index): name for index, name in enumerate(names)}
    return json.dumps({"id2label": by_index, "label2id": {name: int(index) for index, name in by_index.items()}})


def coco(*categories: str) -> str:
    """Write ``id supercategory name`` as COCO's categories."""
    parts = [one.split(" ", 2) for one in categories]
    listed = [{"supercategory": kind, "id": int(number), "name": name} for number, kind, name in parts]
    return json.dumps({"images": [], "annotations": [], "categories": listed})


REAL_LISTS: dict[str, RealList] = {
    "CUB-200": RealList(
        "classes.txt",
        lines(
            "1 001.Black_footed_Albatross",
            "2 002.Laysan_Albatross",
            "3 003.Sooty_Albatross",
            "4 004.Groove_billed_Ani",
            "5 005.Crested_Auklet",
            "6 006.Least_Auklet",
            "7 007.Brewer_Blackbird",
            "8 008.Red_winged_Blackbird",
            "9 009.Indigo_Bunting",
            "10 010.Yellow_breasted_Chat",
            "11 011.Fish_Crow",
            "12 012.Black_billed_Cuckoo",
            "13 013.Wilson_Warbler",
        ),
    ),
    "Stanford Cars": RealList(
        "cars.txt",
        lines(
            "AM General Hummer SUV 2000",
            "Acura RL Sedan 2012",
            "Aston Martin V8 Vantage Convertible 2012",
            "Audi TTS Coupe 2012",
            "BMW 1 Series Convertible 2012",
            "Dodge Caravan Minivan 1997",
            "Ford F-150 Regular Cab 2012",
            "Honda Odyssey Minivan 2012",
            "Volvo 240 Sedan 1993",
            "smart fortwo Convertible 2012",
        ),
    ),
    "Food-101": RealList(
        "classes.txt",
        lines(
            "apple_pie",
            "baby_back_ribs",
            "beef_carpaccio",
            "beignets",
            "bibimbap",
            "caesar_salad",
            "cheesecake",
            "chicken_wings",
            "club_sandwich",
            "croque_madame",
            "french_fries",
            "hot_dog",
            "pad_thai",
            "pizza",
            "sushi",
        ),
    ),
    "CLINC150": RealList(
        "config.json",
        labels(
            "oil_change_when",
            "credit_score",
            "are_you_a_bot",
            "what_can_i_ask_you",
            "freeze_account",
            "exchange_rate",
            "flight_status",
            "pto_request",
            "translate",
            "weather",
        ),
    ),
    "COCO-80": RealList(
        "instances_val2017.json",
        coco(
            "1 person person",
            "2 vehicle bicycle",
            "9 vehicle boat",
            "10 outdoor traffic light",
            "16 animal bird",
            "17 animal cat",
            "21 animal cow",
            "40 sports baseball glove",
            "44 kitchen bottle",
            "47 kitchen cup",
            "52 food banana",
            "53 food apple",
            "58 food hot dog",
            "59 food pizza",
            "62 furniture chair",
            "67 furniture dining table",
            "72 electronic tv",
            "74 electronic mouse",
            "76 electronic keyboard",
            "88 indoor teddy bear",
        ),
    ),
    "Pascal VOC": RealList(
        "voc.names", lines("aeroplane", "bicycle", "bottle", "diningtable", "pottedplant", "tvmonitor")
    ),
    "ImageNet synset words": RealList(
        "synset_words.txt",
        lines(
            "n01440764 tench, Tinca tinca",
            "n01514859 hen",
            "n02012849 crane",
            "n03126707 crane",
            "n02971356 carton",
            "n04146614 school bus",
        ),
    ),
    "ImageNet class index": RealList(
        "imagenet_class_index.json",
        json.dumps(
            {"0": ["n01440764", "tench"], "1": ["n01443537", "goldfish"], "2": ["n01484850", "great_white_shark"]}
        ),
    ),
    "Stanford Dogs": RealList(
        "dogs.txt",
        lines("n02085620-Chihuahua", "n02085782-Japanese_spaniel", "n02110958-pug", "n02113799-standard_poodle"),
    ),
    "Places365": RealList(
        "categories_places365.txt",
        lines(
            "/a/airfield 0",
            "/a/alley 1",
            "/a/apartment_building/outdoor 2",
            "/b/bakery/shop 3",
            "/b/bamboo_forest 4",
            "/k/kitchen 5",
        ),
        separator="/",
    ),
    "product categories": RealList(
        "taxonomy.txt",
        lines(
            "Home & Garden > Kitchen > Pots",
            "Home & Garden > Kitchen > Knives",
            "Home & Garden > Tools > Hammers",
            "Toys & Games > Puzzles",
            "Toys & Games > Kites",
        ),
        separator=" > ",
    ),
    "ADE20K": RealList(
        "ade.txt", lines("wall", "building;edifice", "sky", "floor;flooring", "tree", "car;auto;automobile")
    ),
    "iNaturalist": RealList(
        "inat.csv",
        "name,family\nTurdus merula,Turdidae\nCorvus corax,Corvidae\nCorvus corone,Corvidae\nQuercus robur,Fagaceae\n",
    ),
    "20 Newsgroups": RealList(
        "newsgroups.txt",
        lines("alt.atheism", "comp.graphics", "rec.autos", "rec.sport.hockey", "sci.med", "talk.politics.guns"),
        separator=".",
    ),
    "AG News": RealList(
        "dataset_infos.json",
        json.dumps(
            {
                "default": {
                    "features": {
                        "text": {"dtype": "string", "_type": "Value"},
                        "label": {"names": ["World", "Sports", "Business", "Sci/Tech"], "_type": "ClassLabel"},
                    }
                }
            }
        ),
    ),
    "GoEmotions": RealList(
        "emotions.txt", lines("admiration", "amusement", "anger", "fear", "joy", "sadness", "neutral")
    ),
    "UCF-101": RealList(
        "classInd.txt", lines("1 ApplyEyeMakeup", "2 Archery", "3 BabyCrawling", "4 Basketball", "5 Surfing")
    ),
    "data.yaml": RealList("data.yaml", "nc: 4\nnames:\n  0: helmet\n  1: vest\n  2: no helmet\n  3: no vest\n"),
    "Likert": RealList("likert.txt", lines("strongly disagree", "disagree", "neutral", "agree", "strongly agree")),
    "ages": RealList("ages.txt", lines(*map(str, range(117)))),
    "star ratings": RealList("stars.txt", lines("1 star", "2 stars", "3 stars", "4 stars", "5 stars")),
    "placeholders": RealList("config.json", labels("LABEL_0", "LABEL_1", "LABEL_2")),
    "German": RealList("klassen.txt", lines("Hund", "Katze", "Pferd", "Schmetterling", "Lastwagen", "Flugzeug")),
}
"""23 lists by what they are called here."""
