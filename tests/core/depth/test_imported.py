from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from spatialdreamer_core.config import DepthConfig
from spatialdreamer_core.depth.coloured import COLOUR_NAMES, colour_table, recognise_colours
from spatialdreamer_core.depth.depth_frames import natural_order, open_depth_frames, resize_depth
from spatialdreamer_core.depth.export import depth_file_name, depth_npz, depth_png
from spatialdreamer_core.depth.imported import ImportedDepth, for_source, parse_import, resolve_imported
from spatialdreamer_core.depth.protocol import DepthRequest, estimate
from spatialdreamer_core.depth.registry import create_depth_estimator
from spatialdreamer_core.errors import ConfigError, DepthError

T, H, W = 6, 32, 48


def truth(t: int) -> np.ndarray:
    """A ramp with a near square that moves: [H, W] in [0, 1]."""
    depth = np.tile(np.linspace(0.1, 0.6, H, dtype=np.float32)[:, None], (1, W))
    depth[8:20, 4 + 4 * t : 18 + 4 * t] = 0.9
    return depth


def request(*frames: int, h: int = H, w: int = W, rate: float = 25.0) -> DepthRequest:
    pictures = np.zeros((len(frames), h, w, 3), np.uint8)
    return DepthRequest(pictures, pictures, np.array(frames), np.array(frames) / rate)


def write_video(path: Path, pictures: list[np.ndarray], source: str, pix_fmt: str, rate: int = 25, **more: str) -> None:
    codec = "ffv1" if path.suffix == ".mkv" else "libx264"
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, options=more or None)
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt, stream.time_base = pix_fmt, Fraction(1, rate)
        for t, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, format=source)
            frame.pts, frame.time_base = t, Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def write_pngs(folder: Path) -> Path:
    folder.mkdir()
    for t in range(T):
        (folder / depth_file_name(t)).write_bytes(depth_png(truth(t)))
    return folder


def test_exported_pictures_come_back(tmp_path: Path) -> None:
    folder = write_pngs(tmp_path / "depth")
    estimator = create_depth_estimator(DepthConfig(import_from=str(folder), key_interval=1))
    depth = estimate(estimator, request(3, 0))
    np.testing.assert_allclose(depth[0] / 65535, truth(3), atol=1e-4)
    np.testing.assert_allclose(depth[1] / 65535, truth(0), atol=1e-4)


@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("suffix", [".npz", ".npy"])
def test_arrays_come_back_in_any_order(tmp_path: Path, suffix: str, compressed: bool) -> None:
    file, depth = tmp_path / f"depth{suffix}", np.stack([truth(t) for t in range(T)])
    if suffix == ".npy":
        np.save(file, depth[:, None])
    else:
        (np.savez_compressed if compressed else np.savez)(file, other=np.arange(3), depth=depth)
    read = ImportedDepth(str(file)).infer(request(5, 0, 1, 4))
    np.testing.assert_array_equal(read, depth[[5, 0, 1, 4]])


def test_an_exported_npz_comes_back(tmp_path: Path) -> None:
    (tmp_path / "d.npz").write_bytes(depth_npz([truth(t) for t in range(T)]))
    np.testing.assert_allclose(ImportedDepth(str(tmp_path / "d.npz")).infer(request(2))[0] / 65535, truth(2), atol=1e-4)


def test_exr_pictures_keep_their_floats(tmp_path: Path) -> None:
    for t in range(3):
        context = av.CodecContext.create("exr", "w")
        context.width, context.height, context.pix_fmt, context.time_base = W, H, "grayf32le", Fraction(1, 25)
        frame = av.VideoFrame.from_ndarray(7 * truth(t), format="grayf32le")
        frame.pts = 0
        packets = [*context.encode(frame), *context.encode(None)]
        (tmp_path / f"z.{t}.exr").write_bytes(b"".join(bytes(packet) for packet in packets))
    np.testing.assert_allclose(ImportedDepth(str(tmp_path)).infer(request(1))[0], 7 * truth(1), rtol=1e-3)


@pytest.mark.parametrize(("pix_fmt", "tolerance"), [("gray", 1.1 / 255), ("gray10le", 1.1 / 1023), ("gray16le", 1e-4)])
def test_grey_videos_come_back_with_all_their_bits(tmp_path: Path, pix_fmt: str, tolerance: float) -> None:
    levels = [np.rint(truth(t) * 65535).astype(np.uint16) for t in range(T)]
    write_video(tmp_path / "d.mkv", levels, "gray16le", pix_fmt)
    read = ImportedDepth(str(tmp_path / "d.mkv")).infer(request(0, 1, 5, 2))
    np.testing.assert_allclose(read, np.stack([truth(t) for t in (0, 1, 5, 2)]), atol=tolerance)


@pytest.mark.parametrize("name", COLOUR_NAMES)
def test_painted_videos_are_recognised_and_turned_back(tmp_path: Path, name: str) -> None:
    table = colour_table(name)
    painted = [table[np.rint(truth(t) * 255).astype(int)].astype(np.uint8) for t in range(T)]
    write_video(tmp_path / "d.mp4", painted, "rgb24", "yuv420p", crf="6", bf="2")
    frames = open_depth_frames(tmp_path / "d.mp4")
    assert frames.count == T
    for t in (4, 0, 5):
        values = frames.read(t, H, W)
        if name == "grey":  # given as stored, here over 16..235: an offset and a factor mean nothing
            values = (values - 16 / 255) * (255 / 219)
        wrong = np.abs(values - truth(t))
        assert np.median(wrong) < 0.02, name
        assert (wrong < 0.1).mean() > (0.95 if name not in {"turbo", "jet"} else 0.85), name
    frames.close()


def test_every_colour_map_is_told_from_the_others_and_a_photograph_is_none() -> None:
    levels = np.rint(truth(2) * 255).astype(int)
    for name in COLOUR_NAMES:
        assert recognise_colours(colour_table(name)[levels].astype(np.uint8)) == name
    assert recognise_colours(np.random.default_rng(0).integers(0, 256, (H, W, 3), dtype=np.uint8)) is None


def test_luma_keeps_an_edge_that_half_resolution_colours_would_smear(tmp_path: Path) -> None:
    step = np.full((H, W), 0.2, np.float32)
    step[:, 25:] = 0.8  # an odd column: colour samples lie across the edge
    picture = colour_table("inferno")[np.rint(step * 255).astype(int)].astype(np.uint8)
    write_video(tmp_path / "d.mp4", [picture] * 3, "rgb24", "yuv420p", crf="4")
    read = ImportedDepth(str(tmp_path / "d.mp4")).infer(request(1))[0]
    assert np.abs(read[:, :24] - 0.2).max() < 0.06
    assert np.abs(read[:, 26:] - 0.8).max() < 0.06


def test_near_may_be_dark_or_the_values_metres(tmp_path: Path) -> None:
    np.save(tmp_path / "z.npy", np.stack([np.float32([[1, 2], [4, 0]])] * 2))
    dark = ImportedDepth(f"{tmp_path / 'z.npy'}?near=dark").infer(request(0, h=2, w=2))[0]
    assert dark[0, 0] > dark[0, 1] > dark[1, 0]
    metres = ImportedDepth(f"{tmp_path / 'z.npy'}?near=metres").infer(request(0, h=2, w=2))[0]
    np.testing.assert_allclose(metres, [[1, 0.5], [0.25, 0]])


def test_shrinking_makes_no_values_between_near_and_far_and_keeps_the_edge_in_place() -> None:
    big = np.full((4 * H, 4 * W), 0.2, np.float32)
    big[:, 2 * W :] = 0.8
    small = resize_depth(big, H, W)
    assert set(np.unique(small)) == {np.float32(0.2), np.float32(0.8)}
    assert (small[:, : W // 2] < 0.5).all()
    assert (small[:, W // 2 :] > 0.5).all()


def test_growing_keeps_the_size_asked_for(tmp_path: Path) -> None:
    np.save(tmp_path / "z.npy", np.stack([truth(t) for t in range(T)]))
    assert ImportedDepth(str(tmp_path / "z.npy")).infer(request(0, h=77, w=101)).shape == (1, 77, 101)


def test_each_source_of_a_library_finds_its_own_depth(tmp_path: Path) -> None:
    library = tmp_path / "library"
    library.mkdir()
    write_pngs(library / "holiday_depth")
    np.save(library / "garden.npy", np.stack([truth(0)] * T))
    assert resolve_imported(str(library), "s3://films/2020/holiday.mov").name == "holiday_depth"
    assert resolve_imported(str(library), "/films/garden.mp4").name == "garden.npy"
    with pytest.raises(DepthError, match="beach"):
        resolve_imported(str(library), "beach.mp4")
    whole = ImportedDepth(str(library))
    with pytest.raises(DepthError, match="for_source"):
        whole.infer(request(0))
    holiday, garden = (for_source(whole, name, T) for name in ("holiday.mov", "garden.mp4"))
    assert holiday.digest != garden.digest
    np.testing.assert_allclose(holiday.infer(request(3))[0] / 65535, truth(3), atol=1e-4)


def test_too_few_pictures_say_both_counts(tmp_path: Path) -> None:
    folder = write_pngs(tmp_path / "depth")
    with pytest.raises(DepthError, match=r"6 frame\(s\), but the video has 7"):
        for_source(ImportedDepth(str(folder)), "film.mp4", 7)
    with pytest.raises(DepthError, match=r"6 frame\(s\), but frame 9"):
        ImportedDepth(str(folder)).infer(request(9))


def test_a_depth_video_of_half_the_rate_is_matched_by_time(tmp_path: Path) -> None:
    levels = [np.full((H, W), 40 * t, np.uint8) for t in range(T)]
    write_video(tmp_path / "d.mkv", levels, "gray", "gray", rate=5)
    estimator = for_source(ImportedDepth(str(tmp_path / "d.mkv")), "film.mp4", 2 * T, first_pts_s=10.0)
    frames = [0, 1, 2, 5, 10, 11]
    asked = request(*frames)
    asked = DepthRequest(asked.pictures, asked.partners, asked.frame_indices, 10.0 + np.array(frames) / 10)
    values = np.rint(estimator.infer(asked)[:, 0, 0] * 255 / 40).astype(int)
    assert values[[0, 2, 4]].tolist() == [0, 1, 5]
    assert values[5] == 5
    with pytest.raises(DepthError, match="6 frame"):
        estimator.infer(DepthRequest(asked.pictures[:1], asked.partners[:1], np.array([40]), np.array([14.0])))


def test_a_long_video_is_read_the_same_in_order_and_at_random(tmp_path: Path) -> None:
    levels = [np.full((16, 16), 2 * t, np.uint8) for t in range(120)]  # below 16 and above 235 as well: nothing is cut
    write_video(tmp_path / "d.mp4", levels, "gray", "gray", crf="0", g="30", bf="3")
    frames = open_depth_frames(tmp_path / "d.mp4")
    for t in (0, 1, 2, 60, 61, 119, 3, 3, 110, 20):
        assert round(float(frames.read(t, 16, 16).mean()) * 255) == 2 * t


def test_bad_paths_and_options_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not exist"):
        parse_import(str(tmp_path / "nothing"))
    with pytest.raises(ConfigError, match="near=bright"):
        parse_import(f"{tmp_path}?near=left")
    with pytest.raises(ConfigError, match="options are"):
        parse_import(f"{tmp_path}?invert=1")
    (tmp_path / "d.mp4").write_bytes(b"no video")
    with pytest.raises(DepthError, match="no video"):
        ImportedDepth(str(tmp_path / "d.mp4")).infer(request(0))
    (tmp_path / "d.npz").write_bytes(b"no zip")
    with pytest.raises(DepthError, match=r"d\.npz"):
        ImportedDepth(str(tmp_path / "d.npz")).infer(request(0))


def test_other_content_has_another_digest(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((2, 3, 4), np.float32))
    first = ImportedDepth(str(tmp_path / "a.npy")).digest
    assert ImportedDepth(str(tmp_path / "a.npy")).digest == first
    assert ImportedDepth(f"{tmp_path / 'a.npy'}?near=dark").digest != first
    np.save(tmp_path / "a.npy", np.ones((2, 3, 4), np.float32))
    assert ImportedDepth(str(tmp_path / "a.npy")).digest != first


def test_names_are_ordered_by_their_numbers() -> None:
    assert sorted(["f10.png", "f9.png", "f1b.png", "f1a.png"], key=natural_order) == [
        "f1a.png", "f1b.png", "f9.png", "f10.png",
    ]  # fmt: skip


def test_a_colour_png_that_is_grey_keeps_its_sixteen_bits(tmp_path: Path) -> None:
    levels = np.rint(truth(0) * 65535).astype(np.uint16)
    cv2.imwrite(str(tmp_path / "0.png"), np.repeat(levels[..., None], 3, axis=2))
    np.testing.assert_array_equal(ImportedDepth(str(tmp_path)).infer(request(0))[0], levels.astype(np.float32))
