from dataclasses import replace

import cv2
import numpy as np
import pytest

from spatialdreamer_core.config import ConvertConfig, DepthConfig, FillConfig
from spatialdreamer_core.convert.depth_files import DepthFilesConfig, DepthWriter, picture_depth, read_picture
from spatialdreamer_core.depth.depth_frames import PictureFolder
from spatialdreamer_core.depth.export import depth_exr, depth_from_png
from spatialdreamer_core.errors import ClipError, DepthError
from spatialdreamer_core.flow.dis import DisFlow
from spatialdreamer_core.store.place import Place
from tests.media import scene, write_video


class Slope:
    """Depth that grows downwards, and counts how often it was asked."""

    name, digest, uses_partner = "slope", "slope-1", False

    def __init__(self):
        self.asked = 0

    def infer(self, request):
        self.asked += len(request.pictures)
        n, h, w = request.pictures.shape[:3]
        return np.broadcast_to(np.linspace(0, 1, h, dtype=np.float32)[None, :, None], (n, h, w)).copy()

    def confidence(self, picture):
        return 0.75


SETTINGS = DepthFilesConfig(
    convert=ConvertConfig(depth=DepthConfig(width=64), fill=FillConfig(temporal=False), segment_frames=12)
)


def writer(folder, config=SETTINGS, **options):
    return DepthWriter(Slope(), DisFlow(), Place(str(folder)), config, **options)


def run(made, source, stem):
    *_, last = made.write(str(source), stem)
    return last.record


def gradient(height, width, dtype=np.uint8, top=255):
    ramp = np.linspace(0, top, height)[:, None, None] * np.ones((1, width, 3))
    return ramp.astype(dtype)


@pytest.mark.parametrize("form", ["png", "exr"])
def test_a_picture_becomes_one_file_of_its_size_near_where_depth_is_near(tmp_path, form):
    cv2.imwrite(str(tmp_path / "a.png"), gradient(90, 160))
    record = run(writer(tmp_path / "out", replace(SETTINGS, form=form)), tmp_path / "a.png", "sub/a")
    assert record.complete
    assert record.output == f"sub/a_depth.{form}"
    assert record.confidence == 0.75
    (tmp_path / "one").mkdir()
    (tmp_path / "out" / record.output).rename(tmp_path / "one" / f"0.{form}")
    depth = PictureFolder(tmp_path / "one").read(0, 90, 160)
    depth = depth / depth.max()
    assert depth[:10].mean() < 0.15
    assert depth[-10:].mean() > 0.85
    assert (np.diff(depth.mean(axis=1)) > -0.01).all()


@pytest.mark.parametrize(
    "picture",
    [
        np.zeros((40, 60, 3), np.uint8),
        np.full((40, 60, 3), 255, np.uint8),
        gradient(40, 60)[..., 0],
        np.dstack([gradient(40, 60), np.full((40, 60), 9, np.uint8)]),
        gradient(40, 60, np.uint16, 65535),
        gradient(300, 8),
        gradient(1, 1),
    ],
    ids=["black", "white", "grey", "alpha", "16-bit", "8 wide", "one pixel"],
)
def test_pictures_of_every_kind_give_a_whole_map_of_their_size(tmp_path, picture):
    cv2.imwrite(str(tmp_path / "p.png"), picture)
    run(writer(tmp_path / "out"), tmp_path / "p.png", "p")
    depth = depth_from_png((tmp_path / "out" / "p_depth.png").read_bytes())
    assert depth.shape == picture.shape[:2]


def test_a_picture_of_8k_is_read_and_its_map_has_its_size():
    picture = gradient(4320, 7680)
    assert picture_depth(picture, Slope(), SETTINGS).shape == (4320, 7680)


def test_sixteen_bits_look_like_eight(tmp_path):
    cv2.imwrite(str(tmp_path / "p.png"), gradient(40, 60, np.uint16, 65535))
    assert np.abs(read_picture(str(tmp_path / "p.png")).astype(int) - gradient(40, 60)).max() <= 1


def test_what_is_no_picture_is_refused_in_a_sentence(tmp_path):
    (tmp_path / "p.png").write_bytes(b"no picture at all")
    (tmp_path / "q.png").write_bytes(b"")
    for name, said in (("p.png", "no picture"), ("q.png", "empty"), ("r.png", "no such file")):
        with pytest.raises(ClipError, match=said):
            run(writer(tmp_path / "out"), tmp_path / name, "p")


def test_a_video_becomes_a_folder_with_one_file_a_frame(tmp_path):
    write_video(tmp_path / "v.mkv", scene(30, width=96, height=54))
    steps = list(writer(tmp_path / "out").write(str(tmp_path / "v.mkv"), "v"))
    assert [step.frames for step in steps] == [30] * len(steps)
    names = sorted(path.name for path in (tmp_path / "out" / "v_depth").iterdir())
    assert names == [f"{i:06d}.png" for i in range(30)]
    depth = depth_from_png((tmp_path / "out" / "v_depth" / names[15]).read_bytes())
    assert depth.shape == (54, 96)
    assert depth[-5:].mean() > depth[:5].mean() + 0.5
    small = writer(tmp_path / "small", replace(SETTINGS, full_size=False))
    run(small, tmp_path / "v.mkv", "v")
    assert depth_from_png((tmp_path / "small" / "v_depth" / names[0]).read_bytes()).shape == (36, 64)


def test_a_run_that_was_cut_short_goes_on_to_the_same_bytes(tmp_path):
    write_video(tmp_path / "v.mkv", scene(30, width=96, height=54))
    whole = writer(tmp_path / "whole")
    run(whole, tmp_path / "v.mkv", "v")
    first = writer(tmp_path / "cut")
    next(iter(first.write(str(tmp_path / "v.mkv"), "v")))  # one segment, then gone
    second = writer(tmp_path / "cut")
    assert run(second, tmp_path / "v.mkv", "v").complete
    assert second.estimator.asked < whole.estimator.asked
    read = [
        {path.name: path.read_bytes() for path in (tmp_path / kind / "v_depth").iterdir()} for kind in ("whole", "cut")
    ]
    assert read[0] == read[1]
    third = writer(tmp_path / "cut")
    run(third, tmp_path / "v.mkv", "v")
    assert third.estimator.asked == 0


def test_a_frame_that_is_missing_is_made_again_and_other_settings_never_mix(tmp_path):
    write_video(tmp_path / "v.mkv", scene(14, width=96, height=54))
    run(writer(tmp_path / "out"), tmp_path / "v.mkv", "v")
    (tmp_path / "out" / "v_depth" / "000003.png").unlink()
    run(writer(tmp_path / "out"), tmp_path / "v.mkv", "v")
    assert len(list((tmp_path / "out" / "v_depth").iterdir())) == 14
    run(writer(tmp_path / "out", replace(SETTINGS, form="exr")), tmp_path / "v.mkv", "v")
    assert {path.suffix for path in (tmp_path / "out" / "v_depth").iterdir()} == {".exr"}


def test_depth_that_is_not_finite_is_not_written():
    with pytest.raises(DepthError, match="NaN"):
        depth_exr(np.full((4, 4), np.nan, np.float32))
