"""An application to explore with, and how the tests ask it."""

from pathlib import Path
from typing import Any

import numpy as np
from starlette.testclient import TestClient

from simmatrix import ClassList, SimilarityMatrix
from simmatrix.web.exploration import Exploration
from simmatrix.web.explore import explore_application


class Client:
    """A browser without a screen."""

    def __init__(self, exploration: Exploration) -> None:
        self.http = TestClient(explore_application(exploration), base_url="http://127.0.0.1:8000")
        page = self.http.get("/").text
        self._token = {"x-csrf-token": page.partition('name="csrf" content="')[2].partition('"')[0]}

    def get(self, path: str, **query: Any) -> Any:
        """Return what an address answers, which has to be well."""
        answer = self.http.get(path, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def refused(self, path: str, **query: Any) -> str:
        """Return why an address refuses."""
        answer = self.http.get(path, params=query)
        assert answer.status_code == 400, answer.text
        return str(answer.json()["error"])

    def post(self, path: str, content: Any, status: int = 200) -> Any:
        """Return what comes of a change."""
        answer = self.http.post(path, json=content, headers=self._token)
        assert answer.status_code == status, answer.text
        return answer.json()

    def tile(self, layer: str, order: str, level: int, row: int, column: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the means and the greatest of a tile, as numbers from 0 to 65535."""
        query = {"layer": layer, "order": order, "level": level, "row": row, "column": column}
        answer = self.http.get("/tile", params=query)
        assert answer.status_code == 200, answer.text
        shape = tuple(int(side) for side in answer.headers["x-shape"].split(","))
        planes = np.frombuffer(answer.content, "<u2").reshape(2, *shape)
        return planes[0], planes[1]


def client_of(
    matrix: SimilarityMatrix, folder: Path, other: SimilarityMatrix | None = None, classes: ClassList | None = None
) -> Client:
    """Return a client of a page about a matrix in a file, perhaps beside another one."""
    file, other_file = folder / "one.safetensors", folder / "other.safetensors"
    matrix.save(file)
    if other is not None:
        other.save(other_file)
    return Client(
        Exploration(matrix, file, other=other, other_file=None if other is None else other_file, classes=classes)
    )
