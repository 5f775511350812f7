import json
from dataclasses import replace

import cv2
import numpy as np
import pytest

from spatialdreamer_core.errors import StoreError
from spatialdreamer_core.pairs.members import from_members, to_members
from spatialdreamer_core.pairs.videos import decode_rgb, encode_rgb
from tests.core.pairs.made import made_pair


def test_pictures_come_back_bit_for_bit_whatever_they_show() -> None:
    noise = np.random.default_rng(3).integers(0, 256, (5, 22, 38, 3), dtype=np.uint8)
    assert np.array_equal(decode_rgb(encode_rgb(noise), "noise"), noise)


def test_a_pair_comes_back_whole() -> None:
    pair = made_pair(flow=True)
    back = from_members(pair.key, to_members(pair, {"clip_id": "abc"}))
    for name in ("target", "condition", "reference", "mask"):
        assert np.array_equal(getattr(back, name), getattr(pair, name)), name
    assert np.abs(back.disparity - pair.disparity).max() <= 1 / 256
    assert back.flow is not None
    assert np.array_equal(back.flow, pair.flow)
    assert back.meta["clip_id"] == "abc"
    assert back.meta["meta"] == pair.meta


@pytest.mark.parametrize("mode", ["analytic", "double"])
def test_a_quick_look_gives_the_same_pixels(mode: str) -> None:
    pair = made_pair()
    condition = pair.condition if mode == "analytic" else np.maximum(pair.condition, 1)
    pair = replace(pair, condition=condition, meta=pair.meta | {"mode": mode})
    members = to_members(pair, {})
    whole, quick = from_members(pair.key, members), from_members(pair.key, members, quick=True)
    for name in ("target", "condition", "reference", "mask", "disparity"):
        assert np.array_equal(getattr(quick, name), getattr(whole, name)), name


def test_the_same_pair_gives_the_same_bytes_and_no_flow_no_member() -> None:
    once, again = to_members(made_pair(), {"a": 1}), to_members(made_pair(), {"a": 1})
    assert once == again
    assert sorted(once) == ["condition.mp4", "disparity.png", "json", "mask.png", "reference.mp4", "target.mp4"]


def test_a_mask_takes_one_bit_a_pixel_and_opens_as_a_picture() -> None:
    pair = made_pair(height=64, width=128)
    data = to_members(pair, {})["mask.png"]
    assert data[24] == 1  # bit depth in the PNG header
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    assert picture.shape == (3 * 64, 128)
    assert set(np.unique(picture)) == {0, 255}


def test_disparity_beyond_the_usual_range_takes_a_coarser_step_instead_of_being_cut() -> None:
    pair = made_pair()
    wide = pair.disparity * np.float32(60)  # up to 1314 px
    members = to_members(type(pair)("k", pair.target, pair.condition, pair.reference, pair.mask, wide, None, {}), {})
    step = json.loads(members["json"])["disparity_step_px"]
    assert step > 1 / 128
    assert np.abs(from_members("k", members).disparity - wide).max() <= step / 2 + 1e-4


def test_disparity_comes_back_the_same_whoever_packed_its_png() -> None:
    pair = made_pair()
    members = to_members(pair, {})
    levels = cv2.imdecode(np.frombuffer(members["disparity.png"], np.uint8), cv2.IMREAD_UNCHANGED)
    ours = from_members(pair.key, members).disparity
    step = np.float32(json.loads(members["json"])["disparity_step_px"])
    assert np.array_equal(ours, ((levels.astype(np.float32) - np.float32(32768)) * step).reshape(ours.shape))
    for name in (cv2.IMWRITE_PNG_FILTER_NONE, cv2.IMWRITE_PNG_FILTER_PAETH, cv2.IMWRITE_PNG_ALL_FILTERS):
        other = cv2.imencode(".png", levels, (cv2.IMWRITE_PNG_FILTER, name))[1].tobytes()
        assert other != members["disparity.png"]
        assert np.array_equal(from_members(pair.key, members | {"disparity.png": other}).disparity, ours)


def test_a_key_with_a_dot_is_refused() -> None:
    with pytest.raises(ValueError, match="neither dot"):
        to_members(made_pair("a.b"), {})


@pytest.mark.parametrize("name", ["target.mp4", "mask.png", "disparity.png", "json"])
def test_a_torn_or_missing_member_is_told_by_its_sample(name: str) -> None:
    members = to_members(made_pair(), {})
    for damaged in (members | {name: members[name][:40]}, {k: v for k, v in members.items() if k != name}):
        with pytest.raises(StoreError, match="clip-0"):
            from_members("clip-0", damaged)
