"""What `suggest` and `build` say of class lists that people have, of many kinds.

    python benchmarks/class_lists.py

The lists are short, written from general knowledge: names as the data sets that they are named after have them. The
results go to benchmarks/results.
"""

from __future__ import annotations

import warnings
from typing import NamedTuple

from measure import table, write_result

import simmatrix


class Listed(NamedTuple):
    """A class list, and the source that fits it (the function of simmatrix; empty for none)."""

    names: str
    source: str

    @property
    def classes(self) -> list[str]:
        """The names, which stand in one text with bars between."""
        return self.names.split("|")


LISTS = {
    "CIFAR-10": Listed("airplane|automobile|bird|cat|deer|dog|frog|horse|ship|truck", "from_wordnet"),
    "CIFAR-100 (a part)": Listed(
        "aquarium_fish|bee|can|couch|lawn_mower|maple_tree|ray|seal|tiger|tulip", "from_wordnet"
    ),
    "ImageNet's ids": Listed("n01440764|n01443537|n02085620|n02951358|n07747607", "from_wordnet"),
    "Oxford-IIIT Pet": Listed("Abyssinian|beagle|Bengal|boxer|pug|Siamese|Sphynx|keeshond", "from_encoder"),
    "CUB-200": Listed(
        "001.Black_footed_Albatross|014.Indigo_Bunting|017.Cardinal|029.American_Crow|030.Fish_Crow|047.American_Goldfinch",
        "from_embeddings",
    ),
    "Stanford Cars": Listed(
        "Acura TL Sedan 2012|BMW M3 Coupe 2012|Dodge Caravan Minivan 1997|Ford F-150 Regular Cab 2012|"
        "Jeep Wrangler SUV 2012|Volvo 240 Sedan 1993",
        "from_embeddings",
    ),
    "FGVC-Aircraft": Listed("707-320|727-200|A300B4|ATR-42|DC-10|Tu-154", "from_encoder"),
    "Food-101": Listed(
        "apple_pie|baklava|beef_tartare|bibimbap|cheesecake|hot_and_sour_soup|pad_thai|takoyaki", "from_encoder"
    ),
    "COCO-80": Listed("person|bicycle|bus|hot dog|mouse|remote|orange|skis|sports ball|tv", "from_wordnet"),
    "Places365": Listed("/a/airfield|/b/bakery/shop|/b/bamboo_forest|/k/kitchen|/m/mosque/outdoor", "from_embeddings"),
    "verbs of actions": Listed("sit|run|jump|swim|climb|eat", "from_wordnet"),
    "CLINC150": Listed(
        "freeze_account|pay_bill|exchange_rate|what_is_your_name|flight_status|oil_change_how", "from_embeddings"
    ),
    "AG News": Listed("World|Sports|Business|Sci/Tech", "from_embeddings"),
    "20 Newsgroups": Listed(
        "alt.atheism|comp.graphics|comp.windows.x|rec.autos|rec.motorcycles|sci.med", "from_taxonomy"
    ),
    "product categories": Listed(
        "Home & Garden > Kitchen > Pots|Home & Garden > Kitchen > Pans|Toys > Puzzles|Toys > Dolls", "from_taxonomy"
    ),
    "emotions": Listed("admiration|amusement|anger|curiosity|disgust|fear|grief|joy|pride|sadness", "from_wordnet"),
    "Likert's grades": Listed("strongly disagree|disagree|neutral|agree|strongly agree", "from_order"),
    "star ratings": Listed("1 star|2 stars|3 stars|4 stars|5 stars", "from_order"),
    "diabetic retinopathy": Listed("No DR|Mild|Moderate|Severe|Proliferative DR", "from_order"),
    "UTKFace's ages": Listed("|".join(map(str, range(117))), "from_order"),
    "months": Listed(
        "April|August|December|February|January|July|June|March|May|November|October|September", "from_order"
    ),
    "labels without names": Listed("LABEL_0|LABEL_1|LABEL_2|LABEL_3", ""),
    "German animals": Listed("Hund|Katze|Maus|Vogel|Fisch|Pferd", "from_encoder"),
}


def said_by_build(classes: list[str]) -> str:
    """Return what `simmatrix build` makes of a list without more options, or how it refuses."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", simmatrix.SenseWarning)
            matrix = simmatrix.from_classes(classes)
    except simmatrix.SimilarityError as error:
        said = str(error).partition("\n")[0].removeprefix("classes: ").rstrip(":")
        return "refused, with the command that is right" if "simmatrix build" in said else f"refused: {said}"
    warned = [sentence.partition("\n")[0].partition("; ")[0] for sentence in simmatrix.concerns(matrix)]
    return f"{matrix.provenance.builder}" + (f"; warns: {warned[0]}" if warned else "")


def main() -> None:
    """Write the table."""
    rows = []
    for name, listed in LISTS.items():
        found = simmatrix.suggest(listed.classes)
        rows.append(
            [name, some_of(listed.classes), found.source or "none", found.reason, said_by_build(listed.classes)]
        )
    header = ["class list", "names", "`suggest` says", "since", "`build` without a source"]
    write_result("class_lists", "python benchmarks/class_lists.py", table(header, rows))


def some_of(names: list[str]) -> str:
    """Return the first names, as a cell of a table."""
    return ", ".join(f"`{name}`" for name in names[:3]) + (" …" if len(names) > 3 else "")


if __name__ == "__main__":
    main()
