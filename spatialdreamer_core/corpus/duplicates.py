"""Clips that show nearly what another shot showed, by perceptual hashes, without comparing each with each."""

from itertools import combinations, pairwise
from typing import Any

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

PLACES = (1 / 6, 1 / 2, 5 / 6)
"""Where in a clip it is hashed: evenly, so that clips cut at another place of the same shot are met within a sixth."""
MOST_SPANS = 16
"""Of a gap between two clips no more than so many spans are hashed, evenly."""
MAX_BITS = 6
MATCHES = 2
"""So many of a clip's hashes must be found in another shot."""
LONGEST_WALK = 256
"""No more than so many entries of one list are looked at, whatever the corpus."""
_SIDE = 32
_LOW = 8


def hash_places(frames: int) -> list[int]:
    """Name the frames of a clip of that many that are hashed."""
    return [min(int(share * frames), frames - 1) for share in PLACES]


def gap_places(start: int, span: int, stride: int, end: int) -> list[int]:
    """Name the frames that are hashed behind a clip, where the next one begins only after a gap.

    A copy is cut at other places, so its clips may fall wholly into the gaps; hashed as densely as the clips
    themselves, the gaps meet them all the same.

    Args:
        start: First frame of the clip.
        span: Frames from its first to its last, both counted.
        stride: Frames from its first to the first of the next.
        end: The frame after the last of its shot, at which the last one stands for what is beyond.

    Returns:
        As many for every clip of one span and stride: three for each further span.
    """
    spans = min(-(-stride // span), MOST_SPANS)
    part = stride / spans
    return [min(start + int((k + share) * part), end - 1) for k in range(1, spans) for share in PLACES]


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


def near_duplicates(hashes: NDArray[np.uint64], shots: NDArray[np.int64], max_bits: int) -> NDArray[np.int64]:
    """Name for each clip an earlier one of another shot that it nearly repeats.

    A hash is found in a shot if one of the shot's hashes differs from it by no more than ``max_bits``; a clip repeats a
    shot if two of its hashes are found in the same place of it (in one clip or beside it), so copies that begin or end
    elsewhere are found too. Clips of one shot never repeat each other. A clip that is itself a repeat stands for
    nobody.

    Two words that differ in b bits agree wholly in two of b + 2 bands (the pigeonhole principle), so only hashes that
    share two bands are compared; of lists that are long all the same, the latest ``LONGEST_WALK`` entries.

    Args:
        hashes: [N, K] uint64, of the frames of ``hash_places`` and, where clips leave gaps, ``gap_places``.
        shots: [N] numbers of their shots; the clips of a shot lie together, in order. The earlier clip stays, so adding
            clips at the end changes nothing for those before.
        max_bits: Most bits that may differ, up to 6; below 0 nothing is alike. Up to 4 a million clips take 15 s.

    Returns:
        [N] int64, the number of the kept clip, or -1 for a clip that is kept itself.

    Raises:
        ValueError: If ``max_bits`` is too large.
    """
    count = len(hashes)
    found = np.full(count, -1, np.int64)
    if max_bits < 0 or count < 2:
        return found
    if max_bits > MAX_BITS:
        raise ValueError(f"max_bits must be at most {MAX_BITS}, got {max_bits}: beyond it all pictures grow alike")
    edges = np.linspace(0, 64, max_bits + 3).astype(np.int64)
    bands = np.array([((1 << int(high - low)) - 1) << int(low) for low, high in pairwise(edges)], object)
    keys = np.array([int(a | b) for a, b in combinations(bands, 2)], np.uint64)
    shift = 64 - min(max(int(3 * count).bit_length(), 8), 22)
    heads = np.full((len(keys), 1 << (64 - shift)), -1, np.int32)
    _link(np.ascontiguousarray(hashes), np.ascontiguousarray(shots), keys, shift, heads, max_bits, found)
    return found


@njit(cache=True, nogil=True)
def _close(a: Any, b: Any, max_bits: int) -> bool:
    word, count = a ^ b, 0
    while word:
        word &= word - np.uint64(1)
        count += 1
        if count > max_bits:
            return False
    return True


@njit(cache=True, nogil=True)
def _repeats(hashes: Any, shots: Any, i: int, j: int, max_bits: int) -> bool:
    """Count how many of clip i's hashes are found in clip j and beside it."""
    matches = 0
    for k in range(hashes.shape[1]):
        near = False
        for other in range(max(j - 1, 0), min(j + 2, i)):
            if shots[other] == shots[j]:
                for m in range(hashes.shape[1]):
                    near = near or _close(hashes[i, k], hashes[other, m], max_bits)
        matches += near
    return matches >= MATCHES


@njit(cache=True, nogil=True)
def _link(hashes: Any, shots: Any, keys: Any, shift: int, heads: Any, max_bits: int, found: Any) -> None:
    """Walk the clips in order; the hashes of kept ones form lists by each pair of bands, from the latest to the first.

    An entry counts hashes: clip * 3 + place. A shot that stands still would fill one list alone, so a hash that is like
    the latest of its own shot there is left out.
    """
    count, places = hashes.shape
    before = np.full((keys.shape[0], count * places), -1, np.int32)
    mixer = np.uint64(0x9E3779B97F4A7C15)
    turn = np.uint64(shift)
    for i in range(count):
        best = np.int64(-1)
        for k in range(places):
            for row in range(keys.shape[0]):
                entry, walked = heads[row, ((hashes[i, k] & keys[row]) * mixer) >> turn], 0
                while entry >= 0 and walked < LONGEST_WALK:
                    j = np.int64(entry) // places
                    better = shots[j] != shots[i] and (best < 0 or j < best)
                    better = better and _close(hashes[i, k], hashes[j, entry % places], max_bits)
                    if better and _repeats(hashes, shots, i, j, max_bits):
                        best = j
                    entry = before[row, entry]
                    walked += 1
        found[i] = best
        if best >= 0:
            continue
        for k in range(places):
            for row in range(keys.shape[0]):
                slot = ((hashes[i, k] & keys[row]) * mixer) >> turn
                latest = np.int64(heads[row, slot])
                own = latest >= 0 and shots[latest // places] == shots[i]
                if own and _close(hashes[i, k], hashes[latest // places, latest % places], max_bits):
                    continue
                before[row, i * places + k] = latest
                heads[row, slot] = i * places + k
