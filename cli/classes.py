"""`simmatrix classes` and `simmatrix senses`: the bundled class lists, and what a word can mean in WordNet."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from simmatrix.cli.options import ClassColumn, Separator, read_list
from simmatrix.cli.output import print_line, print_table
from simmatrix.cli.usage import UsageError

if TYPE_CHECKING:
    from simmatrix.classes import ClassList
    from simmatrix.taxonomy.wordnet import WordNet


def classes(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME|PATH|-", help="The list to print; all are named if not given.")
    ] = None,
    class_column: ClassColumn = None,
    separator: Separator = None,
) -> None:
    """List the bundled class lists, or print one in any form: a table on a terminal, a class list (.tsv) in a pipe."""
    import csv

    import simmatrix
    from simmatrix import data

    if name is None:
        lists = {known: simmatrix.read_classes(known) for known in data.class_list_names()}
        rows = ([known, str(len(one)), ", ".join(["class", *one.columns])] for known, one in lists.items())
        print_table(["name", "classes", "columns"], rows, right=["classes"])
        return
    listed = simmatrix.read_classes(name, class_column=class_column, separator=separator)
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
    words: Annotated[
        list[str] | None, typer.Argument(metavar="WORD", help="Nouns or verbs, as classes may be named.")
    ] = None,
    classes: Annotated[
        str | None,
        typer.Option(
            metavar="PATH|NAME|-", help="In place of words: a class list, of which the senses chosen are shown."
        ),
    ] = None,
    class_column: ClassColumn = None,
    separator: Separator = None,
    wordnet: Annotated[
        str, typer.Option(metavar="NAME", help="bundled (WordNet 3.0), nltk, or nltk:CORPUS.")
    ] = "bundled",
    language: Annotated[
        str, typer.Option(metavar="LANGUAGE", help="The words' language, for NLTK's WordNet: eng, fra, deu, …")
    ] = "eng",
) -> None:
    """List the senses of words in WordNet, or those chosen for a class list, the most doubtful first."""
    from simmatrix.builders.wordnet import open_wordnet

    if bool(words) == (classes is not None):
        raise UsageError("give words, or a class list (--classes)")
    listed = read_list(classes, class_column, separator)
    source = open_wordnet(wordnet, language)
    if listed is None:
        _print_senses(source, words or [])
    else:
        _print_choices(source, listed)


def _print_senses(source: WordNet, words: Sequence[str]) -> None:
    from simmatrix.builders.wordnet import definition_of, senses_of

    found = {word: senses_of(source, word) for word in words}
    named = ["word"] if len(words) > 1 else []
    print_table(
        [*named, "synset", "lemmas", "a kind of", "tagged", "definition"],
        (
            [
                *([word] if named else []),
                source.name_of(sense.synset),
                ", ".join(source.lemmas_of(sense.synset)),
                ", ".join(map(source.name_of, source.hypernyms_of(sense.synset))),
                str(sense.tags),
                definition_of(source, sense.synset),
            ]
            for word, several in found.items()
            for sense in several
        ),
        right=["tagged"],
    )
    print_line("")
    first = found[words[0]]
    pinned = source.name_of([sense.synset for sense in first if sense.synset.pos == first[0].synset.pos][-1])
    print_line(f"to pin a class to one of them, name it in the class list's synset column, such as {pinned}", "cyan")


def _print_choices(source: WordNet, listed: ClassList) -> None:
    from simmatrix.builders.wordnet import definition_of, look_up

    found = look_up(source, listed)
    # What is not found is the most doubtful of all.
    order = sorted(found.items(), key=lambda item: -(item[1].doubt if item[1] else 2))
    print_table(
        ["class", "synset", "found by", "doubt", "next", "definition"],
        (
            [
                name,
                source.name_of(one.synset),
                one.how,
                f"{one.doubt:.2f}" if one.others else "",
                source.name_of(one.others[0]) if one.others else "",
                definition_of(source, one.synset),
            ]
            if one
            else [name, "", "not found", "", "", ""]
            for name, one in order
        ),
        right=["doubt"],
    )
