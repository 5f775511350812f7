import cv2
import numpy as np
import pytest

from spatialdreamer_core.corpus.duplicates import gap_places, hash_places, near_duplicates, picture_hash


def picture(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    made = np.zeros((180, 320), np.float32)
    for cell in (10, 30, 90):
        noise = rng.normal(0, 30, (-(-180 // cell), -(-320 // cell))).astype(np.float32)
        made += cv2.resize(noise, (320, 180), interpolation=cv2.INTER_LINEAR)
    return np.clip(made + 120, 0, 255).astype(np.uint8)


def bits(a: int, b: int) -> int:
    return (a ^ b).bit_count()


def test_a_coded_scaled_and_darker_copy_keeps_its_hash_and_another_picture_does_not() -> None:
    for seed in range(8):
        original = picture(seed)
        coded = cv2.imdecode(cv2.imencode(".jpg", original, [cv2.IMWRITE_JPEG_QUALITY, 30])[1], cv2.IMREAD_GRAYSCALE)
        copy = cv2.resize(np.clip(coded * 0.9 + 8, 0, 255).astype(np.uint8), (640, 272), interpolation=cv2.INTER_AREA)
        assert bits(picture_hash(original), picture_hash(copy)) <= 4
        assert bits(picture_hash(original), picture_hash(picture(seed + 100))) > 12


def pan(seed: int, frames: int, start: int = 0) -> list[int]:
    """Hashes of a camera that moves over a picture, two of its columns a frame."""
    wide = np.concatenate([picture(seed), picture(seed + 50)], axis=1)
    return [picture_hash(np.ascontiguousarray(wide[:, 2 * t : 2 * t + 320])) for t in range(start, start + frames)]


def clips_of(hashes: list[int], length: int = 16) -> np.ndarray:
    starts = range(0, len(hashes) - length + 1, length)
    return np.array([[hashes[start + place] for place in hash_places(length)] for start in starts], np.uint64)


def test_an_excerpt_is_found_wherever_it_begins_and_another_film_is_not() -> None:
    film = clips_of(pan(1, 128))
    for start in range(40, 48):
        excerpt = clips_of(pan(1, 48, start))
        together = np.concatenate([film, excerpt, clips_of(pan(9, 48))])
        shots = np.repeat([0, 1, 2], [len(film), len(excerpt), 3])
        found = near_duplicates(together, shots, 4)
        assert (found[: len(film)] == -1).all()
        assert (found[len(film) : len(film) + len(excerpt)] >= 0).all(), start
        assert (found[len(film) + len(excerpt) :] == -1).all()


def spread_clips(hashes: list[int], stride: int, length: int = 16) -> np.ndarray:
    starts = range(0, len(hashes) - length + 1, stride)
    places = [
        [start + place for place in hash_places(length)] + gap_places(start, length, stride, len(hashes))
        for start in starts
    ]
    return np.array([[hashes[place] for place in own] for own in places], np.uint64)


@pytest.mark.parametrize("stride", [24, 40, 64])
def test_an_excerpt_is_found_though_its_clips_lie_in_the_gaps_between_the_films(stride: int) -> None:
    whole = pan(1, 256)
    film, other = spread_clips(whole, stride), spread_clips(pan(9, 96), stride)
    for start in range(60, 60 + stride, 7):
        excerpt = spread_clips(whole[start : start + 96], stride)
        together = np.concatenate([film, excerpt, other])
        found = near_duplicates(together, np.repeat([0, 1, 2], [len(film), len(excerpt), len(other)]), 4)
        assert (found[: len(film)] == -1).all()
        assert (found[len(film) : len(film) + len(excerpt)] >= 0).all(), start
        assert (found[len(film) + len(excerpt) :] == -1).all()


def test_gaps_are_hashed_as_densely_as_clips_and_never_beyond_the_shot() -> None:
    assert gap_places(100, 16, 16, 1000) == []
    assert gap_places(100, 16, 32, 1000) == [118, 124, 129]
    assert gap_places(100, 16, 32, 120) == [118, 119, 119]
    assert len(gap_places(0, 16, 10_000, 100_000)) == 45


def naive(hashes: np.ndarray, shots: np.ndarray, max_bits: int) -> list[int]:
    """Each with each."""
    found: list[int] = []

    def near(one: np.ndarray, j: int, i: int) -> list[bool]:
        beside = [k for k in (j - 1, j, j + 1) if 0 <= k < i and shots[k] == shots[j]]
        return [any(bits(int(h), int(o)) <= max_bits for k in beside for o in hashes[k]) for h in one]

    for i, one in enumerate(hashes):
        alike = (
            j
            for j in range(i)
            if found[j] < 0
            and shots[j] != shots[i]
            and sum(near(one, j, i)) >= 2
            and any(bits(int(a), int(b)) <= max_bits for a in one for b in hashes[j])
        )
        found.append(next(alike, -1))
    return found


def some_clips(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Few families, whose members differ in a few bits, three clips a shot."""
    rng = np.random.default_rng(seed)
    families = rng.integers(0, 2**63, (count // 6, 3), np.uint64)
    chosen = families[rng.integers(0, len(families), count)]
    flips = np.zeros((count, 3), np.uint64)
    for _ in range(4):
        flips |= np.where(rng.random((count, 3)) < 0.5, np.uint64(1) << rng.integers(0, 64, (count, 3), np.uint64), 0)
    return chosen ^ flips.astype(np.uint64), np.arange(count) // 3


@pytest.mark.parametrize("max_bits", [0, 1, 4, 6])
def test_bands_find_what_comparing_each_with_each_finds(max_bits: int) -> None:
    hashes, shots = some_clips(240, max_bits)
    found = near_duplicates(hashes, shots, max_bits)
    assert found.tolist() == naive(hashes, shots, max_bits)
    assert max_bits < 4 or (found >= 0).any()


def test_more_clips_at_the_end_change_nothing_before() -> None:
    hashes, shots = some_clips(300, 5)
    assert (near_duplicates(hashes, shots, 4)[:201] == near_duplicates(hashes[:201], shots[:201], 4)).all()


def test_a_shot_that_stands_still_repeats_nothing_and_costs_no_more_than_others() -> None:
    still, others = np.full((100_000, 3), 7, np.uint64), some_clips(999, 1)
    hashes = np.concatenate([still, others[0], still])
    shots = np.concatenate([np.zeros(len(still), np.int64), 1 + others[1], np.full(len(still), 9999)])
    found = near_duplicates(hashes, shots, 4)
    assert (found[: len(still)] == -1).all()
    assert (found[-len(still) :] >= 0).all()


def test_nothing_is_alike_below_zero_and_all_would_be_beyond_six() -> None:
    hashes, shots = np.zeros((3, 3), np.uint64), np.arange(3)
    assert near_duplicates(hashes, shots, -1).tolist() == [-1, -1, -1]
    assert near_duplicates(hashes, shots, 0).tolist() == [-1, 0, 0]
    assert near_duplicates(hashes, np.zeros(3, np.int64), 4).tolist() == [-1, -1, -1]
    assert near_duplicates(hashes[:0], shots[:0], 4).tolist() == []
    with pytest.raises(ValueError, match="max_bits"):
        near_duplicates(hashes, shots, 7)


def test_a_clip_is_hashed_evenly() -> None:
    assert hash_places(16) == [2, 8, 13]
    assert hash_places(2) == [0, 1, 1]
