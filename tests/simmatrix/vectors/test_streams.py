"""Text in gzip and zip: as good as the plain file, and refused where it is damaged."""

import gzip
import zipfile
from contextlib import suppress
from pathlib import Path

import pytest

from simmatrix.errors import SourceError
from simmatrix.vectors.formats import read_vectors, words_of
from simmatrix.vectors.streams import located

TEXT = b"cat 1 2\ndog 3 4\n" + b"".join(b"w%d %d 1\n" % (index, index * 7919 % 1013) for index in range(300))


def packed(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "/").replace("_", "."), content)
    return path


def dog(path: Path) -> list[float]:
    values: list[float] = read_vectors(path, {"dog"}).found["dog"].values.tolist()
    return values


def test_gzip_and_zip_read_as_the_plain_file(tmp_path: Path) -> None:
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress(TEXT))
    (tmp_path / "misnamed").write_bytes(gzip.compress(TEXT[:160]) + gzip.compress(TEXT[160:]))
    packed(tmp_path / "a.zip", a_txt=TEXT)
    for name in ("a.txt.gz", "misnamed", "a.zip", "a.zip:a.txt"):
        assert dog(tmp_path / name) == [3, 4], name
        assert len(list(words_of(tmp_path / name))) == 302


def test_a_member_of_several(tmp_path: Path) -> None:
    path = packed(tmp_path / "a.ZIP", a_txt=TEXT, sub__b_txt=b"dog 5 6\n")
    assert dog(Path(f"{path}:a.txt")) == [3, 4]
    assert dog(Path(f"{path}:sub/b.txt")) == [5, 6]
    with pytest.raises(SourceError, match=r"holds a\.txt, sub/b\.txt; name one: .*a\.ZIP:FILE"):
        dog(path)
    with pytest.raises(SourceError, match=r"holds a\.txt, sub/b\.txt; name one"):
        dog(Path(f"{path}:c.txt"))
    with pytest.raises(SourceError, match=r"none\.zip: there is no such file"):
        dog(tmp_path / "none.zip:a.txt")


def test_an_archive_of_nothing(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.mkdir("folder")
    with pytest.raises(SourceError, match="holds nothing; name one"):
        dog(tmp_path / "a.zip")


def test_names_with_colons(tmp_path: Path) -> None:
    path = tmp_path / "a.zip:b.txt"
    path.write_bytes(TEXT)
    assert (located(path), dog(path)) == ((path, None), [3, 4])
    assert located(Path("x.zip:a:b.txt")) == (Path("x.zip:a:b.txt"), None)
    assert located(Path("x.zip:sub/b.txt")) == (Path("x.zip"), "sub/b.txt")


@pytest.mark.parametrize("name", ["a.gz", "a.zip"])
def test_cut_off(name: str, tmp_path: Path) -> None:
    whole = gzip.compress(TEXT) if name == "a.gz" else packed(tmp_path / name, a_txt=TEXT).read_bytes()
    for size in range(1, len(whole), 17):
        (tmp_path / name).write_bytes(whole[:size])
        with pytest.raises(SourceError):
            dog(tmp_path / name)


@pytest.mark.parametrize("name", ["a.gz", "a.zip"])
def test_a_byte_turned(name: str, tmp_path: Path) -> None:
    """The checksums of both forms are checked, since the whole file is read."""
    whole = gzip.compress(TEXT) if name == "a.gz" else packed(tmp_path / name, a_txt=TEXT).read_bytes()
    for position in range(50, 400, 23):
        (tmp_path / name).write_bytes(whole[:position] + bytes([whole[position] ^ 0x55]) + whole[position + 1 :])
        with pytest.raises(SourceError):
            read_vectors(tmp_path / name, {"dog"}, format="glove")


def test_an_encrypted_archive(tmp_path: Path) -> None:
    content = bytearray(packed(tmp_path / "a.zip", a_txt=TEXT).read_bytes())
    content[6] |= 1  # the flag in the member's header, and in the directory behind it
    content[content.index(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(SourceError, match=r"can't be unpacked \(.*encrypted.*\); unpack it yourself"):
        dog(tmp_path / "a.zip")


def test_archives_packed_otherwise_and_names_that_are_none(tmp_path: Path) -> None:
    """Damage to LZMA and bzip2, a name that is not UTF-8 though it says so, an empty name, a name that is a command."""
    path = tmp_path / "a.zip"
    for packing in (zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2):
        with zipfile.ZipFile(path, "w", packing) as archive:
            archive.writestr("a.txt", TEXT)
        assert dog(path) == [3, 4]
        whole = path.read_bytes()
        for position in range(30, len(whole) - 60, 7):
            path.write_bytes(whole[:position] + bytes([whole[position] ^ 0x55]) + whole[position + 1 :])
            # Some bytes of the headers tell nothing.
            with suppress(SourceError):
                assert read_vectors(path, {"dog"}, format="glove").found["dog"].values.tolist() == [3, 4]
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("\u00e4.txt", TEXT)
    path.write_bytes(path.read_bytes().replace("\u00e4".encode(), b"\xff\xfe"))
    with pytest.raises(SourceError, match="is damaged or cut short"):
        dog(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x", TEXT)
        archive.writestr("b\x1b[31m", TEXT)
    with pytest.raises(SourceError, match=r"holds x, 'b\\x1b\[31m'; name one"):
        dog(path)
    path.write_bytes(path.read_bytes().replace(b"x", b"\0", 1))
    for name in ("a.zip", "a.zip:", "a.zip:x"):
        with pytest.raises(SourceError):
            dog(tmp_path / name)


def test_what_stands_in_the_place_of_vectors_is_told(tmp_path: Path) -> None:
    path = tmp_path / "glove.txt"
    for content, what in (
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n", "is a Git LFS pointer"),
        (b"<!DOCTYPE html>\n<html>", "is a web page"),
        (b"%PDF-1.5\n", "is a PDF document"),
    ):
        for packed_ in (content, gzip.compress(content)):
            path.write_bytes(packed_)
            with pytest.raises(SourceError, match=what):
                dog(path)
