import hashlib
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from spatialdreamer_core.errors import StoreError
from spatialdreamer_core.store.tar import pack, piece_bytes, read_piece


def pieces(folder: Path) -> list[Path]:
    paths = []
    for number in range(3):
        path = folder / f"{number}.piece"
        path.write_bytes(piece_bytes(f"clip{number}", {"json": b"{}", "a.png": bytes(513 * number)}))
        paths.append(path)
    return paths


def test_pieces_make_a_tar_that_tar_reads_members_sorted_and_without_time(tmp_path: Path) -> None:
    pack(pieces(tmp_path), tmp_path / "s.tar")
    with tarfile.open(tmp_path / "s.tar") as archive:
        members = archive.getmembers()
        assert [m.name for m in members[:4]] == ["clip0.a.png", "clip0.json", "clip1.a.png", "clip1.json"]
        assert {m.mtime for m in members} == {0}
        assert archive.extractfile("clip2.a.png").read() == bytes(1026)  # type: ignore[union-attr]


def test_every_piece_is_found_again_by_its_place_and_digest(tmp_path: Path) -> None:
    packed = pack(pieces(tmp_path), tmp_path / "s.tar")
    data = (tmp_path / "s.tar").read_bytes()
    assert (packed.bytes, packed.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    begin, end = packed.offsets[1:3]
    assert hashlib.sha256(data[begin:end]).hexdigest() == packed.digests[1]
    key, members = read_piece(data[begin:end], "s.tar")
    assert key == "clip1"
    assert members == {"json": b"{}", "a.png": bytes(513)}


@pytest.mark.parametrize("data", [b"", b"no tar at all" * 100, piece_bytes("k", {"a": bytes(2000)})[:1400]])
def test_what_is_no_whole_sample_is_told(data: bytes) -> None:
    with pytest.raises(StoreError, match=r"s\.tar"):
        read_piece(data, "s.tar")


def test_two_samples_where_one_should_be_are_told() -> None:
    two = piece_bytes("a", {"json": b"1"}) + piece_bytes("b", {"json": b"2"})
    with pytest.raises(StoreError, match="2 samples"):
        read_piece(two, "s.tar")


def test_many_pieces_are_packed_with_few_open_files_though_each_goes_once_it_is_packed(tmp_path: Path) -> None:
    def one_by_one() -> Iterator[Path]:
        for number in range(60):
            path = tmp_path / f"{number}.piece"
            path.write_bytes(piece_bytes(f"clip{number:02d}", {"json": bytes(number * 100)}))
            yield path
            path.unlink()  # as a download is

    packed = pack(one_by_one(), tmp_path / "s.tar")
    data = (tmp_path / "s.tar").read_bytes()
    assert hashlib.sha256(data).hexdigest() == packed.sha256
    ends = [*packed.offsets[1:], packed.bytes - 1024]
    found = [hashlib.sha256(data[a:b]).hexdigest() for a, b in zip(packed.offsets, ends, strict=True)]
    assert found == list(packed.digests)
