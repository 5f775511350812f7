"""Shots that show nearly the same, by perceptual hashes, without comparing each with each."""

from collections.abc import Sequence
from itertools import pairwise, product
from typing import Any

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

HASHES = 3
"""Hashes of a shot: at the beginning, in the middle and at the end."""
PLACES = (0.1, 0.5, 0.9)
"""Where in a shot they are taken."""
MAX_BITS = 7
_SIDE = 32
_LOW = 8


def shot_places(start: int, end: int) -> tuple[int, int, int]:
    """Name the frames of a shot [start, end) that are hashed."""
    first, middle, last = (start + int(share * (end - start)) for share in PLACES)
    return first, middle, last


def picture_hash(grey: NDArray[np.uint8]) -> int:
    """Hash a picture so that scaling, coding and a little light change few of 64 bits.

    The signs of the 8x8 lowest frequencies of a 32x32 picture, against their median.

    Args:
        grey: [h, w].

    Source: "pHash", Zauner, "Implementation and Benchmarking of Perceptual Image Hash Functions", 2010.
    """
    small = cv2.resize(grey, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
    low = cv2.dct(small)[:_LOW, :_LOW].ravel()
    bits = low > np.median(low[1:])  # the mean of the picture says nothing about what it shows
    bits[0] = False
    return int.from_bytes(np.packbits(bits).tobytes())


def shot_hash(greys: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint64]:
    """Hash the frames of ``shot_places``; [3] uint64."""
    if len(greys) != HASHES:
        raise ValueError(f"a shot is hashed at {HASHES} frames, got {len(greys)}")
    return np.array([picture_hash(grey) for grey in greys], np.uint64)


def near_duplicates(hashes: NDArray[np.uint64], max_bits: int) -> NDArray[np.int64]:
    """Name for each shot the first earlier one that it nearly repeats.

    Shots are alike if each of their three hashes differs by no more than ``max_bits``. Two words that differ in so few
    bits agree wholly in one of ``max_bits + 1`` bands (the pigeonhole principle), so only shots that share a band of
    the first hash and a band of the middle one are compared. A shot that is itself a duplicate stands for nobody: what
    is kept is a set of shots no two of which are alike and to one of which every other is.

    Args:
        hashes: [N, 3] uint64, in the order in which shots joined the corpus: the earlier one stays, so adding shots
            at the end changes nothing for those before.
        max_bits: Most bits that may differ, up to 7; below 0 nothing is alike.

    Returns:
        [N] int64, the number of the kept shot, or -1 for a shot that is kept itself.
    """
    count = len(hashes)
    found = np.full(count, -1, np.int64)
    if max_bits < 0 or count < 2:
        return found
    if max_bits > MAX_BITS:
        raise ValueError(f"max_bits must be at most {MAX_BITS}, got {max_bits}: beyond it all pictures grow alike")
    # equal shots first: many black or static ones would make one list long
    same = _first_of_equals(hashes)
    slots = np.empty(((max_bits + 1) ** 2, count), np.int32)
    used = 0
    for row, (first, middle) in enumerate(product(_bands(hashes[:, 0], max_bits), _bands(hashes[:, 1], max_bits))):
        values, inverse = np.unique((first << np.uint64(32)) | middle, return_inverse=True)
        slots[row] = inverse + used
        used += len(values)
    _link(np.ascontiguousarray(hashes), same, slots, np.full(used, -1, np.int32), max_bits, found)
    return found


def _bands(words: NDArray[np.uint64], max_bits: int) -> list[NDArray[np.uint64]]:
    """Cut 64-bit words into ``max_bits + 1`` bands; one band alone, 32 bits of it, is enough to find equals."""
    edges = np.linspace(0, 64, max_bits + 2).astype(np.int64)
    return [
        (words >> np.uint64(low)) & np.uint64((1 << min(int(high - low), 32)) - 1) for low, high in pairwise(edges)
    ]  # fmt: skip


def _first_of_equals(hashes: NDArray[np.uint64]) -> NDArray[np.int64]:
    _, first, inverse = np.unique(hashes, axis=0, return_index=True, return_inverse=True)
    return np.asarray(first[inverse.ravel()], np.int64)


@njit(cache=True, nogil=True)
def _alike(hashes: Any, i: Any, j: Any, max_bits: int) -> bool:
    for k in range(hashes.shape[1]):
        word, count = hashes[i, k] ^ hashes[j, k], 0
        while word:
            word &= word - np.uint64(1)
            count += 1
            if count > max_bits:
                return False
    return True


@njit(cache=True, nogil=True)
def _link(hashes: Any, same: Any, slots: Any, head: Any, max_bits: int, found: Any) -> None:
    """Walk the shots in order; the kept ones of each slot form a list, from the latest to the first."""
    rows, count = slots.shape
    before = np.full((rows, count), -1, np.int32)
    for i in range(count):
        if same[i] != i:
            found[i] = same[i] if found[same[i]] < 0 else found[same[i]]
            continue
        best = np.int64(-1)
        for row in range(rows):
            j = head[slots[row, i]]
            while j >= 0:
                if (best < 0 or j < best) and _alike(hashes, i, j, max_bits):
                    best = j
                j = before[row, j]
        if best >= 0:
            found[i] = best
            continue
        for row in range(rows):
            before[row, i] = head[slots[row, i]]
            head[slots[row, i]] = i
