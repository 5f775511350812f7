from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from spatialdreamer_core.errors import ConfigError
from spatialdreamer_core.refine import mini
from spatialdreamer_core.refine.mini import MiniRefiner
from spatialdreamer_core.refine.protocol import Painted, RefineFrame, Refiner, RefineShot
from tests.core.geometry.world import World
from tests.core.refine.made import COLOUR, refine_frame
from tests.core.refine.stand_in import write_stand_in

WORLD = World(height=144, width=260, speed=3, board=(100, 150))
FRAMES = 9
SHOT = RefineShot(FRAMES, WORLD.width, WORLD.height, WORLD.left(0).format, COLOUR, 2.0, 0.5, 0.01)


@pytest.fixture(scope="module")
def refiner(tmp_path_factory: pytest.TempPathFactory) -> MiniRefiner:
    return MiniRefiner(write_stand_in(tmp_path_factory.mktemp("mini")))


@pytest.fixture(scope="module")
def frames() -> list[RefineFrame]:
    return [refine_frame(WORLD, t) for t in range(FRAMES)]


def painted(
    refiner: MiniRefiner, frames: list[RefineFrame], start: int, end: int, shot: RefineShot = SHOT
) -> list[Painted]:
    first, stop = refiner.span(shot.length, start, end)
    stream = refiner.open(shot, start, end)
    return [done for frame in frames[first:stop] for done in stream.push(frame)]


def assert_same(ours: list[Painted], theirs: list[Painted]) -> None:
    assert [one.index for one in ours] == [one.index for one in theirs]
    for one, other in zip(ours, theirs, strict=True):
        assert len(one.patches) == len(other.patches)
        for a, b in zip(one.patches, other.patches, strict=True):
            assert (a.row, a.column) == (b.row, b.column)
            np.testing.assert_array_equal(a.rgb, b.rgb)


def test_it_keeps_the_protocol_and_names_its_weights(refiner: MiniRefiner, tmp_path: Path):
    assert isinstance(refiner, Refiner)
    other = MiniRefiner(write_stand_in(tmp_path / "other", bright=0.1))
    assert refiner.digest != other.digest
    assert refiner.digest == MiniRefiner(write_stand_in(tmp_path / "same")).digest


def test_cutting_a_shot_anywhere_paints_the_same_bytes(refiner: MiniRefiner, frames: list[RefineFrame]):
    whole = painted(refiner, frames, 0, FRAMES)
    assert [one.index for one in whole] == list(range(FRAMES))
    assert all(one.patches for one in whole)
    for cuts in ([0, 4, FRAMES], [0, 1, 2, 8, FRAMES]):
        parts = [
            one for a, b in pairwise(cuts) for one in painted(refiner, frames, a, b)
        ]  # every part sees its own window alone
        assert_same(whole, parts)


def test_other_frames_of_the_window_are_asked_and_no_frame_beyond_it(refiner: MiniRefiner, frames: list[RefineFrame]):
    dark = replace(frames[4], right=replace(frames[4].right, y=frames[4].right.y // 2))
    before = painted(refiner, frames, 0, FRAMES)
    after = painted(refiner, [*frames[:4], dark, *frames[5:]], 0, FRAMES)
    changed = [
        any(not np.array_equal(a.rgb, b.rgb) for a, b in zip(one.patches, other.patches, strict=True))
        for one, other in zip(before, after, strict=True)
    ]
    assert changed == [False, False, True, True, True, True, True, False, False]


def test_a_frame_without_holes_is_given_without_patches(refiner: MiniRefiner, frames: list[RefineFrame]):
    flat = refine_frame(replace(WORLD, wall_disparity=0, board_disparity=0), 0)
    assert flat.holes.row.size == 0
    mixed = [frames[0], replace(flat, index=1), *frames[2:]]
    assert [bool(one.patches) for one in painted(refiner, mixed, 0, FRAMES)] == [True, False] + [True] * 7


def test_the_strength_that_the_user_sets_goes_over_the_one_of_the_shot(refiner: MiniRefiner, frames: list[RefineFrame]):
    own, set_same, set_other = (
        painted(refiner, frames, 2, 3, replace(SHOT, deviation=value)) for value in (None, 0.01, 0.5)
    )
    assert_same(own, set_same)
    assert not np.array_equal(own[0].patches[0].rgb, set_other[0].patches[0].rgb)


def test_of_two_graphs_a_process_holds_one_session_each(refiner: MiniRefiner, tmp_path: Path):
    again = MiniRefiner(write_stand_in(tmp_path))
    assert again.paint is not refiner.paint  # another folder, named in its errors
    assert MiniRefiner(tmp_path).paint is again.paint


def test_a_folder_without_weights_says_what_to_do(tmp_path: Path):
    with pytest.raises(
        ConfigError, match=r"mini weights .*mini_look.onnx: cannot be read \(No such file.*--refine none"
    ):
        MiniRefiner(tmp_path)


def test_shipped_weights_with_another_digest_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(mini, "FOLDER", write_stand_in(tmp_path))
    monkeypatch.setattr(mini, "SHA256", dict.fromkeys((mini.LOOK, mini.PAINT, mini.ABOUT), "0" * 64))
    with pytest.raises(ConfigError, match=r"sha256 is [0-9a-f]{12}..., wanted 000000000000...; install the package"):
        MiniRefiner()


def test_graphs_cut_short_or_of_other_networks_are_refused(tmp_path: Path):
    cut = write_stand_in(tmp_path / "cut")
    (cut / mini.PAINT).write_bytes((cut / mini.PAINT).read_bytes()[:1000])
    with pytest.raises(ConfigError, match="not an ONNX graph that can be run"):
        MiniRefiner(cut)
    swapped = write_stand_in(tmp_path / "swapped")
    (swapped / mini.PAINT).write_bytes((swapped / mini.LOOK).read_bytes())
    with pytest.raises(ConfigError, match="look and paint do not fit each other"):
        MiniRefiner(swapped)
    with pytest.raises(ConfigError, match=r"paint asks for 3 other frames, mini.json names 4; copy the files of one"):
        MiniRefiner(write_stand_in(tmp_path / "mixed", asked=3))
    told = write_stand_in(tmp_path / "told")
    (told / mini.ABOUT).write_text("{}")
    with pytest.raises(ConfigError, match=r"mini.json: does not describe a mini network"):
        MiniRefiner(told)
