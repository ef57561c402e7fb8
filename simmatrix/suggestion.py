"""Which source fits a class list, and why: by its columns, the kind of its names, and what sources find of them."""

from __future__ import annotations

import csv
import io
import shlex
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from simmatrix import data, normalise
from simmatrix.builders.automatic import known_columns, phrases_of, possible_groups
from simmatrix.builders.embeddings import DEFAULT_VECTORS
from simmatrix.builders.lookup import Resolution, attempts, resolve, words
from simmatrix.builders.wordnet import DOUBTFUL, Found, definition_of, look_up, open_wordnet
from simmatrix.classes import Classes, ClassList, read_classes
from simmatrix.errors import OutputError, SenseWarning
from simmatrix.files import check_output_folder, write_atomically
from simmatrix.kinds import is_english, kind_of, misspelt, reading_of
from simmatrix.taxonomy.wordnet import PARTS, Synset, WordNet
from simmatrix.text import hinted, nearest_to_each, some
from simmatrix.vectors.formats import words_of

# A source may lack this share of the classes.
_MOST_MISSING = 0.1
# WordNet may know this share of the classes by their last words alone; with more, it tells too few apart.
_MOST_BY_HEAD = 0.2
# Names whose median length is above this many words are texts.
_WORDS_OF_TEXTS = 4
_DROP = " --oov drop"
# Names that are so much like a word (0 to 100) may be misspelt.
_MISSPELT = 75.0
# So many of more than `DENSE_UP_TO` classes are looked up: all would take minutes, and tell the source no better.
_SAMPLED = 2_000


class Lookup(NamedTuple):
    """How many classes of a list a source finds, how many of these in doubt, and which it lacks or finds by head alone.

    The head of a name is its last words: ``crow`` of ``Fish_Crow``.
    """

    source: str
    found: int
    doubtful: int
    missing: tuple[str, ...]
    by_head: tuple[str, ...] = ()


@dataclass(frozen=True)
class Suggestion:
    """The source that fits a class list.

    Parameters
    ----------
    source
        The function of this package to build with, such as ``"from_wordnet"``; empty if none fits.
    reason
        Why.
    command
        What to type.
    lookups
        What WordNet and the bundled word vectors find of the names; none where there is nothing to look up.
    table
        The class list as a table to edit: with ``synset``, its ``meaning`` and ``doubt`` (0 to 1, and 2 for what was
        not found), ``phrase``, and ``position`` where the classes have an order. Of more than 25,000 names that are
        words it holds 2,000, evenly spaced, which alone are looked up.
    build
        The command without the class list, ``"simmatrix build --from-wordnet"``; empty if none fits. See `command_for`.
    misspelt
        Of the first 20 names that the source lacks, those spelt like words of WordNet: each with up to three of these,
        best first. They may be misspelt, or words of their own; then the command takes ``--oov drop``.
    left_out
        How many classes are not in the table.
    """

    source: str
    reason: str
    command: str
    lookups: tuple[Lookup, ...]
    table: ClassList
    build: str = ""
    misspelt: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    left_out: int = 0

    def command_for(self, path: str | Path) -> str:
        """Return the command that builds from the table once it is saved; empty if no source fits."""
        return self.build and f"{self.build} --classes {shlex.quote(str(path))}"

    def doubtful(self, count: int = 20) -> tuple[str, ...]:
        """Return the classes whose sense is in doubt, or that WordNet lacks, the most doubtful first."""
        return tuple(self._doubts())[:count]

    def _doubts(self) -> dict[str, float]:
        """Return the doubt of each class that is in doubt, the greatest first."""
        # Where nothing was looked up, a column of that name is the list's own.
        column = self.table.column("doubt") if self.lookups else ()
        doubts = {name: float(doubt or 0) for name, doubt in zip(self.table.names, column, strict=False)}
        return {name: doubts[name] for name in sorted(doubts, key=lambda name: -doubts[name]) if doubts[name] > 0}

    def save(self, path: str | Path, *, force: bool = False) -> None:
        """Write the table (.tsv) to a file that is not there yet, or whatever is there with `force`.

        Warns
        -----
        SenseWarning
            If the table pins a class to a sense that is in doubt: what is built from it warns no more.

        Raises
        ------
        OutputError
            If there is a file already, it can't be written, or classes are not in the table.
        """
        path = Path(path)
        if self.left_out:
            raise OutputError(
                f"a table to edit has all classes, and {self.left_out:,} of them were not looked up, since there are "
                "very many; build from the list itself",
                path,
            )
        check_table(path, force=force)
        text = io.StringIO()
        columns = self.table.columns
        rows = zip(self.table.names, *columns.values(), strict=True)
        csv.writer(text, delimiter="\t", lineterminator="\n").writerows([("class", *columns), *rows])
        write_atomically(path, [text.getvalue().encode("utf-8", "surrogateescape")])
        synsets = dict(zip(self.table.names, self.table.column("synset"), strict=True))
        doubts = self._doubts().items()
        pinned = [f"{name} ({synsets[name]})" for name, doubt in doubts if doubt >= DOUBTFUL and synsets[name]]
        if pinned:
            warnings.warn(
                f"{path} pins {len(pinned)} of the classes to a sense that is in doubt: {some(pinned)}; check their "
                "meanings there (simmatrix senses lists all of a word), since no build from it will warn of them",
                SenseWarning,
                stacklevel=2,
            )


def check_table(path: Path, *, force: bool) -> None:
    """Raise `OutputError` unless a table to edit can be written to `path`."""
    if path.suffix.lower() != ".tsv":
        raise OutputError("a table to edit ends in .tsv; give it that name", path)
    check_output_folder(path, is_new=not force)


def suggest(classes: Classes, *, class_column: str | None = None, separator: str | None = None) -> Suggestion:
    """Say which source fits a class list, and why.

    The list's columns decide first, then the kind of its names (an order, a scale, a circle, paths, placeholders,
    codes), then which source finds them: WordNet if it finds all, else word vectors, else a sentence encoder for texts.

    Parameters
    ----------
    classes
        The class list: a file, the name of a bundled list, or the names themselves.
    class_column, separator
        How it is read, as of `read_classes`.

    Raises
    ------
    SimilarityError
        If the class list can't be read.

    Examples
    --------
    >>> import simmatrix
    >>> suggestion = simmatrix.suggest(["poor", "fair", "good"])
    >>> suggestion.source, suggestion.command
    ('from_order', 'simmatrix build --from-order --decay 0.5 --classes classes')
    >>> simmatrix.suggest(["rose", "tulip", "seal", "otter"]).table.column("synset")
    ('rose.n.01', 'tulip.n.01', 'seal.n.09', 'otter.n.02')
    """
    listed = read_classes(classes, class_column=class_column, separator=separator)
    path = str(classes) if isinstance(classes, str | Path) else listed.source
    reading = reading_of(class_column, separator)
    named = shlex.quote(path) + reading
    # All pairs would take gigabytes.
    top_k = " --top-k 32" if len(listed) > normalise.DENSE_UP_TO else ""
    known = known_columns(listed)
    groups = "" if known else possible_groups(listed)
    kind = None if known else kind_of(phrases_of(listed))
    if kind is None and not known:
        kind = misspelt(listed.names)
    if kind is not None and kind.name != "synsets":
        positions = [f"{one:g}" for one in kind.positions or ()]
        columns = {"position": positions} if positions else {"phrase": listed.column("phrase")}
        source = "" if not kind.options else "from_taxonomy" if kind.name == "paths" else "from_order"
        reason = kind.reason if kind.options else f"{kind.reason}, which say nothing of the classes"
        reason += f"; {groups}" if groups else ""
        command, build = (kind.command(path, reading), f"simmatrix build {kind.options}") if source else ("", "")
        if kind.name == "paths":
            command, build = command + top_k, build + top_k
        return Suggestion(source, reason, command, (), _with_columns(listed, **columns), build)
    count = len(listed)
    if count > normalise.DENSE_UP_TO:
        listed = listed.select([listed.names[at * count // _SAMPLED] for at in range(_SAMPLED)])
    left_out = count - len(listed)
    wordnet = open_wordnet()
    found = look_up(wordnet, listed)
    vocabulary = set(words_of(data.vector_file_path(DEFAULT_VECTORS)))
    asked = zip(listed.names, listed.column("phrase"), strict=True)
    phrases = {name: resolve(attempts(name, phrase), vocabulary) for name, phrase in asked}
    doubtful = sum(one is not None and one.doubt >= DOUBTFUL for one in found.values())
    lookups = _lookup("WordNet", found, doubtful), _lookup("word vectors", phrases, 0)
    table = _with_columns(
        listed,
        synset=["" if one is None else wordnet.name_of(one.synset) for one in found.values()],
        meaning=["" if one is None else _meaning(wordnet, one.synset) for one in found.values()],
        # The list's own phrase, or the words that the vectors know a class by if they are not its name.
        phrase=[
            given or ("" if one is None or one.how == "name" else " ".join(one.words))
            for given, one in zip(listed.column("phrase"), phrases.values(), strict=True)
        ],
        doubt=["2" if one is None else f"{one.doubt:.2f}" for one in found.values()],
    )
    if known is not None:
        columns = known.arguments.get("taxonomy", ())
        # Named, since the synsets that the table adds would decide first.
        build = f"simmatrix build --from-taxonomy {shlex.quote(','.join(columns))}" if columns else "simmatrix build"
        build += top_k
        command = f"{build} --classes {named}"
        return Suggestion(known.function, known.reason, command, lookups, table, build, left_out=left_out)
    source, reason, options = _by_lookup(wordnet, listed, found, lookups)
    reason += f"; {groups}" if groups else ""
    if left_out:
        reason = f"going by {len(listed):,} of the {count:,} names: {reason}"
        if source != "from_encoder":
            # The source may lack some of the others.
            options = options.removesuffix(_DROP) + _DROP
    misspelt_names: dict[str, tuple[str, ...]] = {}
    if options.endswith(_DROP):
        # What is only misspelt is to be corrected, not dropped.
        missing = lookups[source == "from_embeddings"].missing
        close = zip(missing, nearest_to_each(missing, wordnet.vocabulary(), likeness=_MISSPELT), strict=True)
        misspelt_names = {name: words for name, words in close if words}
        if len(misspelt_names) == len(missing) and not left_out:
            options = options.removesuffix(_DROP)
    build = f"simmatrix build {options}{top_k}"
    return Suggestion(source, reason, f"{build} --classes {named}", lookups, table, build, misspelt_names, left_out)


def _by_lookup(
    wordnet: WordNet, listed: ClassList, found: dict[str, Found | None], lookups: tuple[Lookup, Lookup]
) -> tuple[str, str, str]:
    """Return the function, the reason and the options for names that are words."""
    in_wordnet, in_vectors = lookups
    most = len(listed) * _MOST_MISSING
    lengths = sorted(len(words(name)) for name in listed.names)
    if lengths[len(lengths) // 2] > _WORDS_OF_TEXTS:
        return "from_encoder", "the names are texts of many words", "--from-encoder MODEL"
    clash = _clash(found)
    if not (in_wordnet.missing or clash) and len(in_wordnet.by_head) <= len(listed) * _MOST_BY_HEAD:
        return "from_wordnet", f"WordNet has all of the names{_of_heads(in_wordnet)}", "--from-wordnet"
    lacking = clash or (
        f"WordNet lacks {some(hinted(in_wordnet.missing, wordnet.vocabulary()), 3)}"
        if in_wordnet.missing
        else f"WordNet knows only the last words of {some(in_wordnet.by_head, 3)}, which --from-wordnet takes"
    )
    if not in_vectors.missing and is_english(listed.names):
        reason = f"the word vectors have all of the names{_of_heads(in_vectors)}; {lacking}"
        return "from_embeddings", reason, f"--from-embeddings {DEFAULT_VECTORS}"
    if not clash and len(in_wordnet.missing) <= min(most, len(in_vectors.missing)):
        return "from_wordnet", f"{lacking}; it has the others", f"--from-wordnet{_DROP}"
    if not is_english(listed.names):
        reason = (
            "few of the names hold an English noun or verb; if they are of another language, an encoder or vectors of "
            "it may have them"
        )
        return "from_encoder", reason, "--from-encoder MODEL"
    if len(in_vectors.missing) <= most:
        reason = f"the word vectors have all of the names but {some(in_vectors.missing, 3)}; {lacking}"
        return "from_embeddings", reason, f"--from-embeddings {DEFAULT_VECTORS}{_DROP}"
    return "from_encoder", f"the word vectors lack {some(in_vectors.missing, 3)}; {lacking}", "--from-encoder MODEL"


def _meaning(wordnet: WordNet, synset: Synset) -> str:
    """Return the definition of a synset; of a verb, for which none is bundled, its hypernyms or lemmas."""
    above = ", ".join(wordnet.name_of(one) for one in wordnet.hypernyms_of(synset))
    return definition_of(wordnet, synset) or (f"a kind of {above}" if above else ", ".join(wordnet.lemmas_of(synset)))


def _clash(found: Mapping[str, Found | None]) -> str:
    """Say which classes are verbs among nouns, or nouns among verbs: in WordNet nothing is above both."""
    of_part = {pos: [name for name, one in found.items() if one is not None and one.synset.pos == pos] for pos in PARTS}
    few, many = sorted(of_part, key=lambda pos: len(of_part[pos]))
    if not of_part[few]:
        return ""
    return f"WordNet knows {some(of_part[few], 3)} as a {PARTS[few]} alone, and the others as {PARTS[many]}s"


def _lookup(source: str, found: Mapping[str, Found | Resolution | None], doubtful: int) -> Lookup:
    missing = tuple(name for name, one in found.items() if one is None)
    by_head = tuple(name for name, one in found.items() if one is not None and one.how.endswith(" head"))
    return Lookup(source, len(found) - len(missing), doubtful, missing, by_head)


def _of_heads(found: Lookup) -> str:
    return f", of {some(found.by_head, 3)} the last words alone" if found.by_head else ""


def _with_columns(listed: ClassList, **columns: Sequence[str]) -> ClassList:
    others = {name: values for name, values in listed.columns.items() if name not in columns}
    new = {name: tuple(values) for name, values in columns.items()}
    return ClassList(listed.names, {**new, **others}, listed.source, listed.sha256)
