"""`simmatrix classes` and `simmatrix senses`: the bundled class lists, and what a word can mean in WordNet."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from simmatrix.cli.output import print_line, print_table

if TYPE_CHECKING:
    from simmatrix.taxonomy.wordnet import Synset, WordNet

__all__ = ["classes", "senses"]


def classes(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME|PATH]", help="The list to print; all are named if not given.")
    ] = None,
) -> None:
    """List the bundled class lists, or print one: a table on a terminal, a class list (.tsv) in a pipe."""
    import csv

    import simmatrix
    from simmatrix import data

    if name is None:
        lists = {known: simmatrix.read_classes(known) for known in data.class_list_names()}
        rows = ([known, str(len(one)), ", ".join(["class", *one.columns])] for known, one in lists.items())
        print_table(["name", "classes", "columns"], rows, right=["classes"])
        return
    listed = simmatrix.read_classes(name)
    header = ["class", *listed.columns]
    rows = (
        [listed.names[index], *(column[index] for column in listed.columns.values())] for index in range(len(listed))
    )
    if sys.stdout.isatty():
        print_table(header, rows)
        return
    csv.writer(sys.stdout, delimiter="\t", lineterminator="\n").writerows([header, *rows])
    sys.stdout.flush()


def senses(
    word: Annotated[str, typer.Argument(metavar="WORD", help="A noun or verb, as a class may be named.")],
    wordnet: Annotated[
        str, typer.Option(metavar="NAME", help="bundled (WordNet 3.0), nltk, or nltk:CORPUS.")
    ] = "bundled",
    language: Annotated[
        str, typer.Option(metavar="LANGUAGE", help="The word's language, for NLTK's WordNet: eng, fra, deu, …")
    ] = "eng",
) -> None:
    """List the senses of a word in WordNet, each with the name that pins it in a class list."""
    from simmatrix.builders.wordnet import open_wordnet, senses_of

    source = open_wordnet(wordnet, language)
    found = senses_of(source, word)
    print_table(
        ["synset", "lemmas", "a kind of", "tagged"],
        (
            [
                source.name_of(sense.synset),
                ", ".join(source.lemmas_of(sense.synset)),
                _kinds(source, sense.synset),
                str(sense.tags),
            ]
            for sense in found
        ),
        right=["tagged"],
    )
    print_line("")
    pinned = source.name_of([sense.synset for sense in found if sense.synset.pos == found[0].synset.pos][-1])
    print_line(f"to pin a class to one of them, name it in the class list's synset column, such as {pinned}", "cyan")


def _kinds(source: WordNet, synset: Synset) -> str:
    return ", ".join(source.name_of(one) for one in source.hypernyms_of(synset))
