"""Code diagnoses, and be wrong as mildly as can be: from a description of ICD-10-CM to the block of its code.

    pip install ".[examples]"
    python examples/icd10.py

ICD-10-CM is the classification by which hospitals of the United States code diagnoses; it is published by the CDC and
the CMS. Its 46,881 described codes come with the package simple-icd-10-cm. A class is a block ("Fractures of the
wrist, hand and fingers" is a code of block S60-S69, injuries to the wrist, hand and fingers), its superclass the
chapter (19, injuries and poisonings). Blocks with few codes are left out. A stem, the first four characters of a code,
is on one side only, so that what is learned of the left hand is not asked of the right one.

Each setting of PLAN.md is trained with each amount of training data and each seed. A training with all of the data
takes some 30 seconds on one core. Results are kept: what was trained is not trained again.
"""

from __future__ import annotations

import importlib
import warnings
from collections import Counter, defaultdict
from collections.abc import Sequence
from types import ModuleType
from typing import NamedTuple

import torch
from sweep import ALL, DataError
from texts import Experiment, Part, Recipe, bags_of, main

import simmatrix

LEAST_CODES, QUICK_CHAPTERS = 30, ("1", "2")
# Shares of the stems for training and for validation; the rest is for the test.
SHARES = (0.64, 0.16)
AMOUNTS = (ALL, "50", "10")
# What --tune found best for cross entropy on validation data.
RECIPES = {ALL: Recipe(0.01, 30), "50": Recipe(0.01, 30), "10": Recipe(0.01, 60)}


class Code(NamedTuple):
    """A code, what it means, and where it stands."""

    code: str
    description: str
    block: str
    chapter: str

    @property
    def stem(self) -> str:
        """The code's first four characters, which lateralities and encounters share."""
        return self.code.replace(".", "")[:4]


def read_codes(*, quick: bool = False) -> list[Code]:
    """Return the codes that have a description of their own, in the classification's order, of the frequent blocks.

    Extended codes ("initial encounter", "sequela") have that of the code that they extend. In a short run there are the
    first two chapters.
    """
    icd = package()
    codes = []
    for code in dict.fromkeys(icd.get_all_codes(with_dots=True)):
        if icd.is_category_or_subcategory(code) and not icd.is_extended_subcategory(code):
            # Some blocks hold one category and have its name (C50): such a category is in the block of itself.
            block, chapter = [code, *icd.get_ancestors(code)][-2:]
            codes.append(Code(code, icd.get_description(code), block, chapter))
    sizes = Counter(code.block for code in codes)
    return [
        code for code in codes if sizes[code.block] >= LEAST_CODES and (not quick or code.chapter in QUICK_CHAPTERS)
    ]


def package() -> ModuleType:
    """Return the package that holds the classification.

    Raises
    ------
    DataError
        If it is not installed.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # it reads its files in an old way
            return importlib.import_module("simple_icd_10_cm")
    except ImportError:
        raise DataError('ICD-10-CM is in the package simple-icd-10-cm; pip install ".[examples]"') from None


def class_list(codes: Sequence[Code]) -> simmatrix.ClassList:
    """Return the blocks with their chapters as superclasses."""
    chapters = {code.block: code.chapter for code in codes}
    return simmatrix.ClassList(tuple(chapters), {"superclass": tuple(chapters.values())}, source="ICD-10-CM")


def divided(codes: Sequence[Code], seed: int) -> Part:
    """Return the rows for training, validation and test, each stem on one side."""
    rows = defaultdict(list)
    for row, code in enumerate(codes):
        rows[code.stem].append(row)
    stems = list(rows)
    order = torch.randperm(len(stems), generator=torch.Generator().manual_seed(seed)).tolist()
    first, second = int(SHARES[0] * len(stems)), int(sum(SHARES) * len(stems))
    parts = (order[:first], order[first:second], order[second:])
    training, validation, test = (torch.tensor(sorted(r for s in part for r in rows[stems[s]])) for part in parts)
    return training, validation, test


def prepare(codes: Sequence[Code], seeds: Sequence[int]) -> Experiment:
    """Put together what the trainings need."""
    classes = class_list(codes)
    index = {name: number for number, name in enumerate(classes.names)}
    return Experiment(
        texts=bags_of([code.description for code in codes], [index[code.block] for code in codes]),
        classes=classes,
        tree=simmatrix.from_taxonomy("superclass", classes, lower_bound=0.0),
        parts={seed: divided(codes, seed) for seed in seeds},
        recipes=RECIPES,
    )


if __name__ == "__main__":
    main("icd10", __doc__, RECIPES, lambda given, seeds: prepare(read_codes(quick=given.quick), seeds))
