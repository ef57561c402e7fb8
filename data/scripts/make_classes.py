"""Makes ``data/classes/imagenet1k.tsv`` and ``imagenet21k.tsv``, and checks the small lists, which are curated by hand.

    python data/scripts/make_classes.py --wordnet WordNet-3.0/dict --timm timm.whl --torchvision torchvision.whl

ImageNet's ids are offsets into WordNet 3.0's ``data.noun``; timm lists them in label order, torchvision has a unique
name for each of the 1,000. A class's phrase is the first of its name (if it has one) and its lemmas, in WordNet's
order, of which the bundled word vectors know every word, so make the vectors first; failing that, the same with
hyphens as spaces; failing that, the first lemma. Where a name of the 1,000 misleads (a drake, a cricket, an ear) or no
lemma is known, ``imagenet1k-phrases.tsv`` beside this script has a phrase chosen by hand.
"""

from __future__ import annotations

import argparse
import ast
import csv
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from simmatrix.container import open_container
from simmatrix.taxonomy.wndb import read_part

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

DATA = Path(__file__).resolve().parent.parent
SMALL_LISTS = ("cifar10", "cifar100", "fashion-mnist")


class NounSynset(NamedTuple):
    """A noun synset: its name in NLTK's form (``seal.n.09``) and its lemmas in WordNet's order and case."""

    name: str
    lemmas: tuple[str, ...]


def main() -> None:
    """Check the small lists, then write the large ones and say how many of their classes the vectors can place."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wordnet", type=Path, required=True, help="WordNet 3.0's dict folder, with data.noun")
    parser.add_argument("--timm", type=Path, required=True, help="a wheel of timm")
    parser.add_argument("--torchvision", type=Path, required=True, help="a wheel of torchvision")
    parser.add_argument("--vectors", type=Path, default=DATA / "vectors" / "glove-6b-50d.safetensors")
    parser.add_argument("--output", type=Path, default=DATA / "classes", help="folder of the class lists")
    options = parser.parse_args()

    nouns = read_part(lambda name: (options.wordnet / name).read_text(encoding="utf-8"), "n")
    synsets = {
        f"n{offset:08d}": NounSynset(nouns.name(node), nouns.lemmas(node))
        for node, offset in enumerate(nouns.offsets.tolist())
    }
    words = vocabulary(options.vectors)
    for name in SMALL_LISTS:
        check(options.output / f"{name}.tsv", {synset.name for synset in synsets.values()}, words)

    chosen = {row["class"]: row["phrase"] for row in table(Path(__file__).with_name("imagenet1k-phrases.tsv"))}
    small = lines(options.timm, "timm/data/_info/imagenet_synsets.txt")
    large = lines(options.timm, "timm/data/_info/imagenet21k_goog_synsets.txt")
    if strangers := chosen.keys() - set(small):
        raise SystemExit(f"imagenet1k-phrases.tsv: not classes of ImageNet-1k: {sorted(strangers)}")

    names = zip(small, categories(options.torchvision), strict=True)
    named = [(wnid, name, *describe(wnid, (name,), synsets, chosen, words)) for wnid, name in names]
    write(options.output / "imagenet1k.tsv", ("class", "name", "synset", "phrase"), named, words)
    unnamed = [(wnid, *describe(wnid, (), synsets, chosen, words)) for wnid in large]
    write(options.output / "imagenet21k.tsv", ("class", "synset", "phrase"), unnamed, words)


def vocabulary(path: Path) -> set[str]:
    """Return the words of a file of bundled vectors."""
    with open_container(path, "make it again") as file:
        return set(file.read("vocabulary").tobytes().decode().split("\n"))


def table(path: Path) -> list[dict[str, str]]:
    """Return the rows of a table with a header."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


def check(path: Path, known: set[str], words: set[str]) -> None:
    """Stop at a synset that WordNet lacks or a class that the vectors can't place."""
    for row in table(path):
        if row["synset"] not in known:
            raise SystemExit(f"{path.name}: {row['class']}: WordNet 3.0 has no synset {row['synset']}")
        if not resolves(row["phrase"] or row["class"], words):
            raise SystemExit(f"{path.name}: {row['class']}: not all its words are in the vectors")


def lines(wheel: Path, member: str) -> list[str]:
    """Return the lines of a text file in a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return archive.read(member).decode().split()


def categories(wheel: Path) -> list[str]:
    """Return torchvision's names of the 1,000 ImageNet classes, read from its source: importing it needs torch."""
    with zipfile.ZipFile(wheel) as archive:
        tree = ast.parse(archive.read("torchvision/models/_meta.py"))
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "_IMAGENET_CATEGORIES":
            return list(ast.literal_eval(node.value))
    raise SystemExit(f"{wheel.name}: torchvision/models/_meta.py has no _IMAGENET_CATEGORIES")


def describe(
    wnid: str,
    names: Sequence[str],
    synsets: Mapping[str, NounSynset],
    chosen: Mapping[str, str],
    words: set[str],
) -> tuple[str, str]:
    """Return a class's synset name and its phrase."""
    synset = synsets[wnid]
    if wnid in chosen:
        return synset.name, chosen[wnid]
    lemmas = [lemma.replace("_", " ") for lemma in synset.lemmas]
    candidates = [*names, *lemmas]
    candidates += [candidate.replace("-", " ") for candidate in candidates]
    return synset.name, next((phrase for phrase in candidates if resolves(phrase, words)), lemmas[0])


def resolves(phrase: str, words: set[str]) -> bool:
    """Tell whether the vectors know every word of a phrase."""
    return words.issuperset(phrase.lower().replace("_", " ").split())


def write(path: Path, header: Sequence[str], rows: Sequence[Sequence[str]], words: set[str]) -> None:
    """Write a table, one class a line, the phrase last."""
    text = "".join("\t".join(row) + "\n" for row in (header, *rows))
    path.write_text(text, encoding="utf-8", newline="\n")
    print(f"{path.name}: {len(rows)} classes, {sum(resolves(row[-1], words) for row in rows)} known to the vectors")


if __name__ == "__main__":
    main()
