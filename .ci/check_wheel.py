"""Check that a wheel installs all of the packages and nothing else.

usage: check_wheel.py WHEEL
"""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# Where each folder of the repository is installed, and what of it.
INSTALLED = {
    "simmatrix": (
        "simmatrix",
        ("**/*.py", "py.typed", "web/static/**/*.*", "web/templates/*.html"),
    ),
    "simloss": ("simloss", ("**/*.py", "py.typed", "rows/native.c")),
    "cli": ("simmatrix/cli", ("**/*.py",)),
    "data": (
        "simmatrix/data",
        ("*.py", "LICENSES.md", "classes/*.tsv", "vectors/*.safetensors", "wordnet/*.safetensors", "wordnet/*.txt.gz"),
    ),
}
# What is compiled on the way: it is in no clean checkout.
COMPILED = {"simloss/_native.abi3.so"}


def expected() -> set[str]:
    """Return the files that a wheel has to hold, by the folders of the repository."""
    return COMPILED | {
        f"{target}/{path.relative_to(ROOT / folder).as_posix()}"
        for folder, (target, patterns) in INSTALLED.items()
        for pattern in patterns
        for path in (ROOT / folder).glob(pattern)
    }


def main() -> None:
    """Compare the two lists and exit with 1 where they differ."""
    with zipfile.ZipFile(sys.argv[1]) as wheel:
        found = {name for name in wheel.namelist() if ".dist-info/" not in name}
    lacking, surplus = sorted(expected() - found), sorted(found - expected())
    if lacking or surplus:
        sys.exit(f"the wheel lacks {lacking} and holds {surplus} that it should not")
    print(f"the wheel holds {len(found)} files in {', '.join(sorted({name.split('/')[0] for name in found}))}")


if __name__ == "__main__":
    main()
