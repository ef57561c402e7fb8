"""What `simmatrix build` can build from: the option that names each source, and the options that go with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from simmatrix.choices import TAXONOMY_FORMATS, VECTOR_FORMATS
from simmatrix.cli.output import progress_bar
from simmatrix.cli.usage import Command, UsageError

if TYPE_CHECKING:
    from simmatrix.classes import ClassList
    from simmatrix.matrix import SimilarityMatrix


class Source(NamedTuple):
    """A source: the parameter of `build` that names it, also the library's function, and what else it takes."""

    name: str
    options: tuple[str, ...] = ()
    reports_progress: bool = False
    finds_top_k: bool = False

    @property
    def option(self) -> str:
        """The option on the command line."""
        return _option(self.name)

    def build(self, given: Mapping[str, Any], classes: ClassList, lower_bound: float | None) -> SimilarityMatrix:
        """Build from what was given on the command line, under a progress bar."""
        import simmatrix

        function: Callable[..., SimilarityMatrix] = getattr(simmatrix, self.name)
        # A flag is True; other sources have a value, which is the function's first argument.
        where = () if given.get(self.name, True) is True else (given[self.name],)
        names = {name: "format" if name.endswith("_format") else name for name in self.options if name in given}
        arguments = {argument: given[name] for name, argument in names.items()}
        if lower_bound is not None:
            arguments["lower_bound"] = lower_bound
        if self.finds_top_k and "top_k" in given:
            arguments["top_k"] = given["top_k"]
        with progress_bar(f"building {self.option.removeprefix('--')}") as progress:
            if self.reports_progress:
                arguments["progress"] = progress
            return function(*where, classes=classes, **arguments)


# In the order of the help.
SOURCES = (
    Source("from_embeddings", ("vector_format", "vocabulary", "oov", "search", "recall"), True, finds_top_k=True),
    Source("from_order", ("decay", "kernel", "length_scale", "positions", "circular", "period"), finds_top_k=True),
    Source("from_wordnet", ("measure", "wordnet", "language", "information_content", "oov"), finds_top_k=True),
    Source("from_taxonomy", ("measure", "taxonomy_format", "oov"), finds_top_k=True),
    Source("from_ratings", ("scale", "complete", "unknown", "duplicates")),
    Source("from_triplets", ("complete", "unknown")),
    Source("from_confusion"),
    Source("from_matrix", ("scale", "unknown", "symmetrise")),
    Source("from_encoder", ("search", "recall"), finds_top_k=True),
)


def options_of(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that were given: all others are None, or False where False is not an answer."""
    answers = ("symmetrise",)
    return {
        name: value
        for name, value in parameters.items()
        if value is not None and (value is not False or name in answers)
    }


def renamed(given: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return the options with `--format` under its present name, and what to say about it.

    Raises `UsageError` if the format is none of the source's.
    """
    given = dict(given)
    old = given.pop("format", None)
    if old is None:
        return given, []
    choices = {"taxonomy_format": TAXONOMY_FORMATS, "vector_format": VECTOR_FORMATS}
    name = "taxonomy_format" if "from_taxonomy" in given else "vector_format"
    if old not in choices[name]:
        raise UsageError(f"{old!r} is no format of {_option(name)}; choose {', '.join(choices[name])}")
    return {**given, name: old}, [f"--format is now {_option(name)}; the old name goes away in the next version"]


def chosen(given: Mapping[str, Any]) -> Source | None:
    """Return the one source that was named, None where none was.

    Raises `UsageError` if several are named, or an option is given that belongs to another source.
    """
    named = [source for source in SOURCES if source.name in given]
    if len(named) > 1:
        raise UsageError(
            f"{' and '.join(source.option for source in named)} are {len(named)} sources; build from one a call, "
            "and put the matrices together with simmatrix blend"
        )
    if not named:
        return None
    _check_options(named[0], given)
    return named[0]


def known(given: Mapping[str, Any], classes: ClassList, reading: str) -> tuple[Source, dict[str, Any], str]:
    """Return the source that fits the class list by itself, the options together with it, and the reason.

    `reading` are the options that say how the class list is read. Raises `UsageError` if an option is given that
    belongs to another source.
    """
    from simmatrix.builders.automatic import known_source

    function, arguments, reason = known_source(classes, reading)
    source = next(one for one in SOURCES if one.name == function)
    _check_options(source, given)
    return source, {**given, function: next(iter(arguments.values()), True)}, reason


def _check_options(source: Source, given: Mapping[str, Any]) -> None:
    for name in given:
        homes = [one.option for one in SOURCES if name in one.options]
        if homes and source.option not in homes:
            raise UsageError(f"{_option(name)} belongs to {' and '.join(homes)}, not to {source.option}")


def titled(name: str) -> str:
    """Return the heading in the help under which an option of `build` stands."""
    homes = [source.option for source in SOURCES if name in (source.name, *source.options)]
    return "Sources (one a call)" if name.startswith("from_") else f"With {', '.join(homes)}" if homes else "Options"


class Grouped(Command):
    """A command whose help has its options under the headings of `titled`."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the options, group by group in the order of their first option."""
        groups: dict[str, list[Any]] = {}
        for parameter in self.get_params(ctx):
            if (record := parameter.get_help_record(ctx)) is not None:
                groups.setdefault(titled(parameter.name or ""), []).append(record)
        for title, records in groups.items():
            with formatter.section(title):
                formatter.write_dl(records)


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"
