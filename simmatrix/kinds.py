"""What kind of names a class list has: grades, numbers, a circle, paths, placeholders, or words.

Word vectors and WordNet find similarity between any names. It is nonsense for names that are no words, and for words of
a scale: "strongly agree" occurs in the same texts as "strongly disagree". Each kind is one function in `_KINDS`.
"""

from __future__ import annotations

import math
import re
import shlex
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple, TypeAlias

from simmatrix.classes_in import parts_of
from simmatrix.text import nearest, some

# Fewer classes than this have no order worth telling.
_FEWEST = 3
_Finder: TypeAlias = "Callable[[Sequence[str]], Kind | None]"


class Kind(NamedTuple):
    """A kind of names: what it is called, why, what to build from, and each class's position if it is an order.

    `options` are those of ``simmatrix build``, empty where no source fits.
    """

    name: str
    reason: str
    options: str = ""
    positions: tuple[float, ...] | None = None

    def command(self, source: str, reading: str = "") -> str:
        """Return the command that builds from this; `reading` are the options that say how the class list is read."""
        listed = shlex.quote(source) + reading
        if "--positions position" in self.options:
            return f"simmatrix suggest {listed} -o my.tsv && simmatrix build {self.options} --classes my.tsv"
        return f"simmatrix build {self.options} --classes {listed}"


def kind_of(names: Sequence[str]) -> Kind | None:
    """Return what kind of names the classes have; None if they seem to be words.

    Examples
    --------
    >>> kind_of(("poor", "fair", "good", "excellent")).reason
    'the names are grades: poor < fair < good < excellent'
    >>> kind_of(("LABEL_0", "LABEL_1", "LABEL_2")).name
    'placeholders'
    >>> kind_of(("rose", "tulip", "oak"))
    """
    return next(filter(None, (kind(names) for kind in _KINDS)), None)


def misspelt(names: Sequence[str]) -> Kind | None:
    """Return the order that names would have if one of them were spelt like a known one; None if there is none.

    Examples
    --------
    >>> misspelt(("Monday", "Tuesday", "Wensday", "Thursday")).reason
    'the names are days of the week, which go round, if Wensday is wednesday'
    """
    circles = [re.split(r"[ |]", one) for one in _CIRCLES.values()]
    for known in (*circles, *([level for level, _ in _levels(scale)] for scale in _SCALES)):
        wrong = [name for name in names if _folded(name) not in known]
        if len(wrong) != 1 or len(names) <= _FEWEST:
            continue
        for meant in nearest(_folded(wrong[0]), known, 1):
            corrected = tuple(meant if name == wrong[0] else name for name in names)
            kind = kind_of(corrected) if len(set(corrected)) == len(names) else None
            if kind is not None:
                return kind._replace(reason=f"{kind.reason}, if {wrong[0]} is {meant}")
    return None


def out_of_order(names: Sequence[str], source: str, reading: str = "") -> str:
    """Return the order that the names have and the classes don't, with the right command; empty if they agree.

    `source` is the class list as the command names it, and `reading` the options that say how it is read.

    Examples
    --------
    >>> out_of_order(("low", "high", "medium"), "c.txt").partition("; ")[0]
    'the names are grades: low < medium < high, and the classes stand in another order'
    """
    kind = kind_of(names)
    if kind is None or kind.positions is None:
        return ""
    steps = [after - before for before, after in pairwise(kind.positions)]
    # A circle may start anywhere.
    turns = 1 if kind.name == "circle" else 0
    if min(sum(step < 0 for step in steps), sum(step > 0 for step in steps)) <= turns:
        return ""
    command = kind.command(source, reading)
    return f"{kind.reason}, and the classes stand in another order; build from that: {command}"


def reading_of(class_column: str | None, separator: str | None) -> str:
    """Return the options of a command that reads a class list so."""
    given = (("--class-column", class_column), ("--separator", separator))
    return "".join(f" {option} {shlex.quote(value)}" for option, value in given if value is not None)


def misfit(names: Sequence[str], source: str, reading: str = "") -> str:
    """Return why names can't be looked up as words, and the right command; empty if they can."""
    kind = kind_of(names)
    if kind is None or kind.name == "synsets":
        return ""
    if not kind.options:
        return f"{kind.reason}; {_WITHOUT_SOURCE}"
    command = kind.command(source, reading)
    return f"{kind.reason}, of which word vectors and WordNet know nothing; build from that: {command}"


def is_english(names: Sequence[str]) -> bool:
    """Tell whether at least half of the names hold a word that WordNet has; few names of other languages do."""
    from simmatrix.builders.lookup import forms, words
    from simmatrix.taxonomy.wordnet import PARTS, bundled_wordnet

    wordnet = bundled_wordnet()
    known = sum(
        any(wordnet.senses(form, pos) for word in words(name) if len(word) > 1 for form in forms(word) for pos in PARTS)
        for name in names
    )
    return 2 * known >= len(names)


_WITHOUT_SOURCE = (
    "say what they mean in a phrase column of the class list, or build from what is mistaken for what (simmatrix build "
    "--from-confusion)"
)


def _spelt(pattern: str, kind: str, reason: str, shown: int = 0, options: str = "", fewest: int = 1) -> _Finder:
    """Return a function that finds names that all match a pattern; the reason shows the first `shown` of them."""
    fits = re.compile(pattern).fullmatch

    def find(names: Sequence[str]) -> Kind | None:
        if len(names) < fewest or not all(map(fits, names)):
            return None
        return Kind(kind, f"the names are {reason}" + (f" ({some(names, shown)})" if shown else ""), options)

    return find


def _numbers(names: Sequence[str]) -> Kind | None:
    """Numbers, ranges, and numbers with the same words around them, such as "3 stars" and "Stage II"."""
    found = [_NUMBER.fullmatch(_numeral(name)) for name in names]
    if len(names) < _FEWEST or not all(found):
        return None
    parts = [one.groups() for one in found if one]
    around = {_unit(before) + "|" + _unit(after) for before, _, after in parts}
    # "under 10" is below "10".
    values = tuple(
        float(number.replace(",", ".")) / (2 if re.match(r"(under|below|up to|less than|[<≤])", before.lower()) else 1)
        for before, number, _ in parts
    )
    if len(around) > 1 or len(set(values)) < len(values):
        return None
    if re.search(r"\|(°|deg|degrees?)$", next(iter(around))) and min(values) >= 0 and max(values) < 360:
        options = "--from-order --kernel gaussian --length-scale 45 --circular --period 360 --positions position"
        return Kind("circle", f"the names are angles ({some(names, 3)})", options, values)
    reason = f"the names are numbers ({some(names, 3)})"
    if values == tuple(range(len(values))):
        reason += " (if they are mere indices, nothing is known of the classes)"
    return Kind("numbers", reason, *_on_scale(names, values))


_NUMBER = re.compile(r"(\D*?)([-+]?\d+(?:[.,]\d+)?)(\D*|\s*(?:-|\u2013|to|\.\.)\s*\D?\d.*)")
_ROMAN = {"I": 1, "II": 2, "III": 3, "IV": 4, "V": 5, "VI": 6, "VII": 7, "VIII": 8, "IX": 9, "X": 10}
_OPEN = re.compile(
    r"\b(under|below|up to|less than|over|above|more than|and|or|older|younger|years?|yrs?|old)\b|[+<>$€£≤≥-]"
)


def _numeral(name: str) -> str:
    """Return a name with the Roman numeral at its end, if there is one, in digits."""
    *rest, last = re.split(r"[\s_]+", name.strip())
    return f"{' '.join(rest)} {_ROMAN[last]}" if rest and last in _ROMAN else name


def _unit(text: str) -> str:
    """Return the words beside a number: without the end of a range, words such as "over", and the plural's s."""
    return re.sub(r"[\s_\d.,\u2013]+|\bto\b", "", _OPEN.sub("", text.lower())).removesuffix("s")


def _on_scale(names: Sequence[str], values: Sequence[float]) -> tuple[str, tuple[float, ...]]:
    """Return the options for classes that stand at these values, and their positions.

    Classes that are evenly spaced are built by their order. Where the list has another order, positions give them the
    same similarities.
    """
    column = "class" if all(re.fullmatch(r"[-+]?\d+(\.\d+)?", name) for name in names) else "position"
    ascending = sorted(values)
    spread = (ascending[-1] - ascending[0]) / (len(values) - 1)
    if all(math.isclose(after - before, spread, rel_tol=1e-9) for before, after in pairwise(ascending)):
        is_sorted = list(values) in (ascending, ascending[::-1])
        scale = "" if spread == 1 else f" --length-scale {spread:.15g}"
        return "--from-order --decay 0.5" + ("" if is_sorted else f"{scale} --positions {column}"), tuple(values)
    return f"--from-order --kernel laplace --length-scale {spread:.3g} --positions {column}", tuple(values)


def _circle(names: Sequence[str]) -> Kind | None:
    for what, text in _CIRCLES.items():
        places = {word: place for place, words in enumerate(text.split()) for word in words.split("|")}
        found = [places.get(_folded(name).replace(" ", "")) for name in names]
        positions = tuple(float(place) for place in found if place is not None)
        if len(names) < _FEWEST or len(positions) < len(names) or len(set(positions)) < len(names):
            continue
        period = len(text.split())
        steps = {
            (after - before) % period for before, after in zip(positions, (*positions[1:], positions[0]), strict=True)
        }
        whole = len(names) == period and len(steps) == 1
        options = "--from-order --decay 0.5 --circular"
        if not whole:
            options += f" --period {period} --positions position"
        return Kind("circle", f"the names are {what}, which go round", options, positions)
    return None


_CIRCLES = {
    "months": "january|jan february|feb march|mar april|apr may june|jun july|jul august|aug september|sep|sept "
    "october|oct november|nov december|dec",
    "days of the week": "monday|mon tuesday|tue|tues wednesday|wed thursday|thu|thurs friday|fri saturday|sat "
    "sunday|sun",
    "seasons": "spring summer autumn|fall winter",
    "directions": "north|n northeast|ne east|e southeast|se south|s southwest|sw west|w northwest|nw",
    "signs of the zodiac": "aries taurus gemini cancer leo virgo libra scorpio sagittarius capricorn aquarius pisces",
    "times of day": "night|midnight dawn|earlymorning morning noon|midday afternoon dusk|evening",
}


def _grades(names: Sequence[str]) -> Kind | None:
    if len(names) < _FEWEST:
        return None
    texts = [_folded(name) for name in names]
    scales: list[dict[str, float | None]] = [dict(_levels(scale)) for scale in _SCALES]
    for places in (*scales, {text: _opinion(text) for text in texts}):
        found = [places.get(text) for text in texts]
        positions = tuple(place for place in found if place is not None)
        if len(positions) == len(names) == len(set(positions)):
            break
    else:
        return None
    ranked = [name for _, name in sorted(zip(positions, names, strict=True))]
    shown = ranked if len(ranked) <= _SHOWN_GRADES else [*ranked[:2], "…", ranked[-1]]
    ranks = {place: rank for rank, place in enumerate(sorted(positions))}
    order = tuple(float(ranks[place]) for place in positions)
    is_sorted = list(positions) in (sorted(positions), sorted(positions, reverse=True))
    options = "--from-order --decay 0.5" + ("" if is_sorted else " --positions position")
    return Kind("grades", f"the names are grades: {' < '.join(shown)}", options, order)


_SHOWN_GRADES = 7
# From the least to the most; where a level has several names, they are alternatives.
_SCALES = (
    "never|not at all < almost never|hardly ever|very rarely < rarely|seldom < sometimes|occasionally < "
    "often|frequently < usually|very often|most of the time < almost always < always|all the time",
    "none|no|absent|normal|healthy|no dr|negligible < very low|minimal|trace|questionable|very mild < low|mild|slight|"
    "minor < medium|moderate|average|intermediate < high|severe|major|marked < very high|very severe|critical|extreme|"
    "proliferative|proliferative dr|proliferate dr",
    "terrible|awful|very poor|very bad|worst < poor|bad < fair|ok|okay|average|neutral|mediocre|acceptable < good < "
    "very good|great < premium|excellent|outstanding|superb < ideal|perfect|best",
    "xxs < xs|extra small|tiny < s|small < m|medium < l|large|big < xl|extra large|very large|huge < "
    "xxl|gigantic|giant < xxxl",
    "freezing < cold < cool < lukewarm|mild < warm < hot < very hot|boiling",
    "beginner|novice|elementary < intermediate < advanced < expert|proficient|native",
    "kindergarten|preschool < primary school|elementary school < middle school < high school|secondary school < "
    "some college < bachelor|bachelors|undergraduate < master|masters|graduate < doctorate|phd",
    "newborn < infant|baby < toddler < child|kid < teenager|teen|adolescent|youth < young adult < adult < middle aged|"
    "middle age < senior|elderly|elder|old",
    "one < two < three < four < five < six < seven < eight < nine < ten",
    "first|1st < second|2nd < third|3rd < fourth|4th < fifth|5th < sixth|6th",
    "calm < light air < light breeze < gentle breeze < moderate breeze < fresh breeze < strong breeze < near gale < "
    "gale < strong gale < storm < violent storm < hurricane",
    "bronze < silver < gold < platinum < diamond",
    "f < e < d- < d < d+ < c- < c < c+ < b- < b < b+ < a- < a < a+",
    "information|info|trivial < minor < major < critical|blocker",
)
# Words for more and for less, and how strongly they are said.
_MORE = "agree satisfied likely positive good happy important safe easy fast strong hot interested"
_LESS = (
    "disagree dissatisfied unsatisfied unlikely negative bad unhappy sad unimportant unsafe dangerous difficult hard "
    "slow weak cold uninterested"
)
_STRONGLY = "very strongly extremely highly completely totally definitely"
_MILDLY = "somewhat slightly mostly rather probably fairly quite mildly weakly"
_POLES = {**dict.fromkeys(_MORE.split(), 1), **dict.fromkeys(_LESS.split(), -1)}
_STRENGTH = {**dict.fromkeys(_STRONGLY.split(), 3.0), **dict.fromkeys(_MILDLY.split(), 1.0)}
_BETWEEN = re.compile(
    r"neutral|undecided|unsure|not sure|mixed|no opinion|neither( \w+ nor \w+| nor)?|don'?t know|unknown"
)


def _levels(scale: str) -> list[tuple[str, float]]:
    return [(name, float(place)) for place, level in enumerate(scale.split(" < ")) for name in level.split("|")]


def _opinion(text: str) -> float | None:
    """Return the position of an opinion such as "somewhat agree", below 0 for a negative one; None for other texts."""
    if _BETWEEN.fullmatch(text):
        return 0.0
    *before, pole = text.split() or [""]
    if pole not in _POLES or len(before) > 1 or (before and before[0] not in _STRENGTH):
        return None
    return _POLES[pole] * (_STRENGTH[before[0]] if before else 2.0)


# A > may also compare, be an arrow, or end a tag.
_NO_PATH = re.compile(r"<|[-=]>|>=|>\s*-?[\d.,]+%?\s*$")


def levels_of(columns: Sequence[tuple[str, Sequence[str]]]) -> list[tuple[str, Sequence[str]]]:
    """Return columns that group the rows as levels, each with its name and a value a row, the finest first.

    These are the columns themselves, which are given so; or, of a single column of paths written with ``>``, ``›`` or
    ``::``, each part of the paths with what stands above it. Other signs stand in names that are no paths, such as
    ``Sports/Games``. A level with another value in each row groups nothing, and is left out if there are others.

    Examples
    --------
    >>> levels_of([("kind", ["Home > Garden", "Home > Garden", "Home > Lamps"])])
    [('kind', ['Home > Garden', 'Home > Garden', 'Home > Lamps']), ('kind above 1', ['Home', 'Home', 'Home'])]
    """
    found = _parts(*columns[0]) if len(columns) == 1 else list(columns)
    return [level for level in found if len(set(level[1])) < len(level[1])] or found


def _parts(column: str, values: Sequence[str]) -> list[tuple[str, Sequence[str]]]:
    for sign, joint in ((">", " > "), ("\u203a", " \u203a "), ("::", "::")):
        places = {value: parts_of(value, sign) for value in values}
        first = Counter(place[0] for place in places.values())
        # A path of which no other shares the beginning makes no hierarchy.
        if any(len(place) > 1 < first[place[0]] for place in places.values()) and not any(map(_NO_PATH.search, places)):
            depths = range(max(map(len, places.values())), 0, -1)
            found = [[joint.join(places[value][:depth]) for value in values] for depth in depths]
            return [(f"{column} above {above}" if above else column, one) for above, one in enumerate(found)]
    return [(column, values)]


def _paths(names: Sequence[str]) -> Kind | None:
    for sign in (" > ", ">", "\u203a", "::", " / ", "/", "|", "\\", "."):
        parts = [[part.strip() for part in name.strip(sign).split(sign)] for name in names]
        deep = [one for one in parts if len(one) > 1 and all(one)]
        if len(deep) < max(_FEWEST, len(names) / 2) or (sign == "." and any(" " in name for name in names)):
            continue
        if all(one[0].isdigit() for one in deep):
            continue
        first = [one[0] for one in deep]
        if len(set(first)) == len(first):
            continue
        # Folders by first letter group nothing.
        if all(len(one[0]) == 1 and one[1].lower().startswith(one[0].lower()) for one in deep):
            return None
        return Kind("paths", f"the names are paths ({some(names, 1)})", f"--separator {shlex.quote(sign)}")
    return None


def _folded(name: str) -> str:
    """Return a name in lower case, with blanks for underscores and hyphens; a hyphen at the end is a sign, as in B-."""
    text = re.sub(r"^\d+[.:)]\s*", "", name.lower().strip())
    return " ".join(re.sub(r"_|-(?=\w)", " ", text).split())


_KINDS: tuple[_Finder, ...] = (
    _spelt(r"[nv]\d{8}|[^\s]+\.[nv]\.\d\d", "synsets", "WordNet's synsets", options="--from-wordnet"),
    _spelt(
        r"(?i:label|class|cls|category|cat|target|output|type|cluster|topic|group|id|item|tag|unnamed|unknown|[cly])"
        r"[ _.:-]*\d+",
        "placeholders",
        "placeholders",
        shown=2,
    ),
    _spelt(r"[A-Z]{1,4}[-_.]?\d[-_.A-Z0-9]*|[0-9a-f]{8,}", "codes", "codes", shown=3, fewest=_FEWEST),
    _numbers,
    _circle,
    _grades,
    _spelt(".", "characters", "single characters", shown=3, fewest=_FEWEST),
    _paths,
)
