"""Makes ``data/wordnet/definitions-3.0.txt.gz``: how WordNet 3.0 defines its nouns, in the order of the other extract.

    python data/scripts/make_definitions.py --wordnet /usr/share/wordnet

The folder is that of Debian's package wordnet-base 1:3.0; that its nouns have the offsets and the lemmas of the other
extract, which is made from Princeton's files, is checked. Examples of use, which follow a definition, are left out.
`simmatrix.data.wordnet_definitions_path` tells what a line is. The same file gives the same text; the checksum is that
of the text, since another version of zlib may compress it to other bytes.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
from pathlib import Path

from simmatrix.taxonomy.wordnet import Synset, bundled_wordnet

DATA = Path(__file__).resolve().parent.parent
# Of Debian's data.noun.
CHECKSUM = "fea17d2f9656611334eac790e5d69e47645fa180c4aa481fb4cd9b3520754ca2"


def definition(line: str) -> tuple[int, str, str, str]:
    """Return of a line of ``data.noun`` its offset, its first lemma, its lexicographers' file and its definition."""
    fields, _, gloss = line.partition("|")
    offset, file, _type, _count, lemma, *_ = fields.split(" ")
    return int(offset), lemma, file, gloss.split('; "')[0].strip()


def main() -> None:
    """Write the text and its checksum, and say what went in."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wordnet", type=Path, required=True, help="Debian's folder of WordNet 3.0, with data.noun")
    parser.add_argument("--output", type=Path, default=DATA / "wordnet" / "definitions-3.0.txt.gz")
    options = parser.parse_args()
    raw = (options.wordnet / "data.noun").read_bytes()
    if hashlib.sha256(raw).hexdigest() != CHECKSUM:
        raise SystemExit(f"{options.wordnet / 'data.noun'}: is not that of Debian's wordnet-base 1:3.0")
    # The licence stands at the head of the file, on lines that start with two spaces.
    found = [definition(line) for line in raw.decode("utf-8").splitlines() if not line.startswith("  ")]
    wordnet = bundled_wordnet()
    nouns = [
        (int(offset), wordnet.lemmas_of(Synset("n", node))[0]) for node, offset in enumerate(wordnet.parts["n"].offsets)
    ]
    if [(offset, lemma) for offset, lemma, *_ in found] != nouns:
        raise SystemExit("its nouns are not those of the bundled WordNet 3.0")
    text = "".join(f"{file}\t{defined}\n" for *_, file, defined in found).encode()
    options.output.write_bytes(gzip.compress(text, compresslevel=9, mtime=0))
    digest = hashlib.sha256(text).hexdigest()
    name = options.output.name.removesuffix(".gz")
    options.output.with_name(f"{name.removesuffix('.txt')}.sha256").write_text(f"{digest}  {name}\n", encoding="utf-8")
    print(f"{len(found)} definitions, {len(text)} bytes, {options.output.stat().st_size} compressed")
    print(f"sha256 {digest}")


if __name__ == "__main__":
    main()
