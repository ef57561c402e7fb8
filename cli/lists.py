"""The class list that a matrix was built for."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from simmatrix.classes import ClassList
    from simmatrix.matrix import SimilarityMatrix

__all__ = ["class_list", "recorded_list"]


def class_list(matrix: SimilarityMatrix, given: str | None) -> ClassList:
    """Return the class list given, or the bundled one that a matrix was built for, in the matrix's order."""
    import simmatrix

    name = given or recorded_list(matrix)
    if name is None:
        raise simmatrix.SourceError("no superclasses are known; give a class list with a superclass column (--classes)")
    listed = simmatrix.read_classes(name)
    if given and "superclass" not in listed.columns:
        columns = ", ".join(listed.columns) or "no column but class"
        raise simmatrix.SourceError(f"has no superclass column (it has {columns}); add one", given)
    return listed.select(matrix.classes)


def recorded_list(matrix: SimilarityMatrix) -> str | None:
    """Return the name of the bundled class list among a matrix's inputs; None where there is none."""
    from simmatrix import data

    bundled = data.class_list_names()
    return next((one.name for one in matrix.provenance.source if one.role == "classes" and one.name in bundled), None)
