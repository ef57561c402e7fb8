"""A page that stands alone: everything in it, nothing from elsewhere, the same bytes each time."""

import base64
import hashlib
import json
import re
import zlib
from pathlib import Path

import numpy as np
import pytest

from simmatrix import MatrixError, OutputError, SimilarityMatrix
from simmatrix.ordering import order_of
from simmatrix.web.exploration import Exploration
from simmatrix.web.exported import check_page, write_page
from tests.simmatrix.matrices import random_matrix


def _written(matrix: SimilarityMatrix, path: Path) -> str:
    write_page(Exploration(matrix, Path("one.safetensors")), path)
    return path.read_text(encoding="utf-8")


def _content(text: str) -> dict[str, object]:
    found = re.search(r'<script type="application/json" id="content">(.*?)</script>', text, re.DOTALL)
    assert found is not None
    content = json.loads(found[1])
    assert isinstance(content, dict)
    return content


@pytest.mark.parametrize("form", ["dense", "sparse", "toeplitz"])
def test_it_holds_the_matrix(form: str, tmp_path: Path) -> None:
    matrix = random_matrix(form, 40)
    text = _written(matrix, tmp_path / "page.html")
    content = _content(text)
    values = np.frombuffer(zlib.decompress(base64.b64decode(str(content["values"]))), "<u2").reshape(40, 40)
    np.testing.assert_allclose(values / 65535, matrix.to_dense(), rtol=0, atol=0.51 / 65535)
    assert content["orders"] == {by: order_of(matrix, by).places.tolist() for by in ("clusters", "file")}
    assert text == _written(matrix, tmp_path / "again.html")


def test_nothing_but_its_own_script_and_style_may_run(tmp_path: Path) -> None:
    nasty = ("</script><script>alert(1)</script>", "<!--<script>", "</style>", "]]>")
    text = _written(SimilarityMatrix(np.eye(4), nasty), tmp_path / "page.html")
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)
    assert policy is not None
    allowed = policy[1].replace("&#39;", "'")
    assert allowed.startswith("default-src 'none'; script-src 'sha256-")
    for kind in ("style", 'script type="module"'):
        inside = re.findall(rf"<{kind}>(.*?)</{kind.split()[0]}>", text, re.DOTALL)
        assert len(inside) == 1
        assert f"'sha256-{base64.b64encode(hashlib.sha256(inside[0].encode()).digest()).decode()}'" in allowed
    assert text.count("<script") == 2
    assert _content(text)["classes"] == [{"name": name, "label": name} for name in nasty]
    assert re.findall(r'(?:src|href|url)\s*[=(]\s*["\']?(?!#|data:)[\w/.:]+', text.partition("<script")[0]) == []
    assert "import " not in text.partition('<script type="module">')[2].replace("// ", "")


def test_what_can_t_be_exported_is_refused(tmp_path: Path) -> None:
    matrix = random_matrix("toeplitz", 2001)
    with pytest.raises(MatrixError, match=r"a page of 2,001 classes would be too large to mail, 2,000 is the most"):
        _written(matrix, tmp_path / "page.html")
    two = Exploration(random_matrix(), Path("a.safetensors"), other=random_matrix(), other_file=Path("b.safetensors"))
    with pytest.raises(MatrixError, match="shows one matrix; export each by itself"):
        write_page(two, tmp_path / "page.html")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(OutputError, match=r"no name for a page; give one that ends in \.html"):
        check_page(tmp_path / "page.txt", force=False)
    (tmp_path / "page.html").write_text("mine")
    with pytest.raises(OutputError, match="is there already"):
        check_page(tmp_path / "page.html", force=False)
    check_page(tmp_path / "page.html", force=True)
