import cv2
import numpy as np
import pytest

from spatialdreamer_core.corpus.duplicates import near_duplicates, picture_hash, shot_hash, shot_places


def picture(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    made = np.zeros((180, 320), np.float32)
    for cell in (10, 30, 90):
        noise = rng.normal(0, 30, (-(-180 // cell), -(-320 // cell))).astype(np.float32)
        made += cv2.resize(noise, (320, 180), interpolation=cv2.INTER_LINEAR)
    return np.clip(made + 120, 0, 255).astype(np.uint8)


def bits(a: int, b: int) -> int:
    return (a ^ b).bit_count()


def test_a_coded_scaled_and_brighter_copy_keeps_its_hash_and_another_picture_does_not() -> None:
    for seed in range(8):
        original = picture(seed)
        coded = cv2.imdecode(cv2.imencode(".jpg", original, [cv2.IMWRITE_JPEG_QUALITY, 30])[1], cv2.IMREAD_GRAYSCALE)
        copy = cv2.resize(np.clip(coded * 0.9 + 8, 0, 255).astype(np.uint8), (640, 272), interpolation=cv2.INTER_AREA)
        assert bits(picture_hash(original), picture_hash(copy)) <= 4
        assert bits(picture_hash(original), picture_hash(picture(seed + 100))) > 12


def naive(hashes: np.ndarray, max_bits: int) -> list[int]:
    found: list[int] = []
    for i, one in enumerate(hashes):
        alike = (
            j
            for j in range(i)
            if found[j] < 0 and all(bits(int(a), int(b)) <= max_bits for a, b in zip(one, hashes[j], strict=True))
        )
        found.append(next(alike, -1))
    return found


def some_hashes(count: int, seed: int) -> np.ndarray:
    """Few families, whose members differ in a few bits."""
    rng = np.random.default_rng(seed)
    families = rng.integers(0, 2**63, (count // 6, 3), np.uint64)
    chosen = families[rng.integers(0, len(families), count)]
    flips = np.zeros((count, 3), np.uint64)
    for _ in range(4):
        flips |= np.where(rng.random((count, 3)) < 0.5, np.uint64(1) << rng.integers(0, 64, (count, 3), np.uint64), 0)
    return chosen ^ flips.astype(np.uint64)


@pytest.mark.parametrize("max_bits", [0, 1, 4, 7])
def test_bands_find_what_comparing_each_with_each_finds(max_bits: int) -> None:
    hashes = some_hashes(300, max_bits)
    found = near_duplicates(hashes, max_bits)
    assert found.tolist() == naive(hashes, max_bits)
    assert max_bits < 4 or (found >= 0).any()


def test_more_shots_at_the_end_change_nothing_before() -> None:
    hashes = some_hashes(300, 5)
    assert (near_duplicates(hashes, 4)[:200] == near_duplicates(hashes[:200], 4)).all()


def test_many_equal_shots_cost_no_more_than_others() -> None:
    hashes = np.concatenate([np.zeros((100_000, 3), np.uint64), some_hashes(1000, 1)])
    found = near_duplicates(hashes, 4)
    assert (found[1:100_000] == 0).all()


def test_nothing_is_alike_below_zero_and_all_would_be_beyond_seven() -> None:
    hashes = np.zeros((3, 3), np.uint64)
    assert near_duplicates(hashes, -1).tolist() == [-1, -1, -1]
    assert near_duplicates(hashes, 0).tolist() == [-1, 0, 0]
    assert near_duplicates(hashes[:0], 4).tolist() == []
    with pytest.raises(ValueError, match="max_bits"):
        near_duplicates(hashes, 8)


def test_a_shot_is_hashed_near_both_ends_and_in_the_middle() -> None:
    assert shot_places(100, 200) == (110, 150, 190)
    assert shot_places(7, 8) == (7, 7, 7)
    assert shot_hash([picture(0)] * 3).dtype == np.uint64
    with pytest.raises(ValueError, match="3 frames"):
        shot_hash([picture(0)])
