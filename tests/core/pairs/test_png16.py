import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spatialdreamer_core.pairs.png16 import scaled, up_rows


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(height: int, width: int, plain: bytes) -> bytes:
    head = struct.pack(">IIBBBBB", width, height, 16, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(plain)) + chunk(b"IEND", b"")


@settings(deadline=None)  # the first example compiles
@given(st.integers(1, 5), st.integers(1, 7), st.integers(0, 2**32 - 1))
def test_rows_that_differ_from_the_row_above_come_back_as_values(height: int, width: int, seed: int):
    values = np.random.default_rng(seed).integers(0, 65536, (height, width)).astype(">u2")
    differences = np.diff(values.view(np.uint8).astype(np.int16), axis=0, prepend=0).astype(np.uint8)
    rows = up_rows(png(height, width, np.insert(differences, 0, 2, axis=1).tobytes()))
    assert rows is not None
    assert np.array_equal(scaled(rows, 32768, 0.5), (values.astype(np.float32) - 32768) / 2)


@pytest.mark.parametrize("plain", [b"\2" * 4, b"\2" * 6, b"\2" * 10_000_000])
def test_a_file_that_packs_less_or_more_than_it_says_is_left_to_others(plain: bytes):
    assert up_rows(png(1, 2, plain)) is None


@given(st.binary(max_size=80), st.integers(0, 60))
def test_torn_files_and_junk_are_left_to_others(junk: bytes, length: int):
    whole = png(1, 2, b"\2\0\0\0\0")
    assert up_rows(junk) is None
    assert up_rows(whole[: min(length, len(whole) - 20)]) is None
