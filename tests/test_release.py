"""What people install is what is said: in messages and documents, and in the ranges of versions."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
_WORD = r"(?:\"[^\"]+\"|'[^']+'|[\w.<>=\[\],-]*[\w\]=.])"
_COMMAND = re.compile(rf"pip install((?: {_WORD})+)")
_REQUIREMENT = re.compile(r"([\w.-]+)(?:\[([\w,-]+)\])?(?:==[\d.]+)?")


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def bounds() -> Iterator[tuple[str, str]]:
    """Return every dependency in pyproject.toml, and its lower bound."""
    for one in (*PROJECT["dependencies"], *(one for several in EXTRAS.values() for one in several)):
        if not one.startswith("simloss["):
            name, version = re.match(r"([\w.-]+)(?:\[\w+\])?>=([\d.]+)(?:;|$)", one).groups()
            yield normal(name), version


def pins(path: str) -> dict[str, str]:
    lines = (ROOT / path).read_text(encoding="utf-8").splitlines()
    return {normal(name): version for name, version in (line.split("==") for line in lines if line and line[0] != "#")}


def number(version: str) -> tuple[int, ...]:
    parts = [int(part) for part in re.match(r"[\d.]+", version)[0].strip(".").split(".")]
    return tuple(parts + [0] * (4 - len(parts)))


def unknown(text: str) -> list[str]:
    """Return what a text says to install and does not exist: a folder, a file, an extra or a dependency."""
    known, wrong = {name for name, _ in bounds()}, []
    for command in _COMMAND.findall(text):
        tokens = iter(token.strip("\"'") for token in re.findall(_WORD, command))
        for token in tokens:
            if token in ("-c", "-r"):
                wrong += [file for file in [next(tokens)] if not (ROOT / file).is_file()]
            elif not token.startswith("-"):
                name, extras = re.fullmatch(_REQUIREMENT, token).groups()
                is_ours = name in (".", PROJECT["name"])
                if (not is_ours and normal(name) not in known) or (extras and not is_ours):
                    wrong.append(token)
                wrong += [extra for extra in (extras or "").split(",") if extra and extra not in EXTRAS]
    return wrong


def test_what_is_to_be_installed_exists() -> None:
    found = 0
    for folder in ("simmatrix", "simloss", "cli", "data", "benchmarks", "examples", "docs", "."):
        for path in (ROOT / folder).glob("*" if folder == "." else "**/*"):
            if path.suffix in (".py", ".md", ".toml", ".html", ".js"):
                text = path.read_text(encoding="utf-8")
                assert unknown(text) == [], path
                found += len(_COMMAND.findall(text))
    assert found > 20
    for text, wrong in (
        ('pip install "simmatrix[encoder]"', ["simmatrix[encoder]"]),
        ("(pip install simloss[encode])", ["encode"]),
        ("`pip install -c constraint.txt -e '.[test]'`", ["constraint.txt"]),
        ("pip install numpi), or", ["numpi"]),
    ):
        assert unknown(text) == wrong


def test_lowest_versions_are_those_that_are_tested() -> None:
    lowest, newest = pins("lowest-constraints.txt"), pins("constraints.txt")
    tested = {name: version for name, version in bounds() if name in lowest}
    # These are for the recipes, the site, and who works on the project.
    others = {name for name, _ in bounds()} - set(tested)
    assert others <= {
        normal(re.match(r"[\w.-]+", one)[0]) for extra in ("recipes", "docs", "dev") for one in EXTRAS[extra]
    }
    for name, version in bounds():
        if name in tested:
            assert number(lowest[name])[: 1 + version.count(".")] >= number(version)[: 1 + version.count(".")], name
        assert number(version) <= number(newest[name]), name
    direct = {one.partition(">=")[0] for one in PROJECT["dependencies"]}
    for name, version in tested.items():
        if name in direct:
            assert number(lowest[name]) == number(version), name
