from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from spatialdreamer_core.errors import MaterialError
from spatialdreamer_core.evaluate.clip import closed, load_clip
from spatialdreamer_core.evaluate.material import ClipRef, find_material
from tests.core.evaluate.made import BOARD, WALL, H, W, pair, write_clip, write_pfm, write_png, write_still


def load(ref: ClipRef, **options: bool):  # type: ignore[no-untyped-def]
    return load_clip(ref, start=0, count=8, **options)


def test_pairs_are_found_by_their_usual_names_with_domain_and_disparity(tmp_path: Path) -> None:
    write_still(tmp_path / "indoor" / "board")
    write_clip(tmp_path / "indoor", "walk")
    left, right, _ = pair()
    for name, picture in (("im2", left), ("im6", right)):
        write_png(tmp_path / "cones" / f"{name}.png", picture)
    found = {clip.name: clip for clip in find_material([str(tmp_path)])}
    assert sorted(found) == ["cones", "indoor/board", "indoor/walk"]
    assert found["indoor/walk"].domain == "indoor"
    assert found["cones"].domain is None
    assert found["indoor/board"].disparity is not None
    clip = load(found["indoor/walk"])
    assert clip.left.shape == (3, H, W, 3)
    assert clip.disparity_from == "given"
    assert {WALL, BOARD} == set(np.unique(clip.disparity[2]).astype(int))


def test_holes_are_parted_into_interior_and_border(tmp_path: Path) -> None:
    clip = load(find_material([str(write_still(tmp_path / "a"))])[0])
    interior, border = clip.holes(0)
    # the board uncovers as many columns as it is nearer, the wall's own disparity opens the right border
    assert interior[30].sum() == BOARD - WALL
    assert border[30].sum() == WALL
    assert border[30, -WALL:].all()
    assert not (interior & border).any()


def test_unknown_disparity_is_closed_from_the_background(tmp_path: Path) -> None:
    disparity = np.array([[2, 2, np.nan, np.nan, 9, 9], [np.nan] * 6], np.float32)
    filled = closed(disparity, np.isfinite(disparity))
    assert filled[0].tolist() == [2, 2, 2, 2, 9, 9]
    assert filled[1].tolist() == filled[0].tolist()


def test_without_disparity_it_is_matched(tmp_path: Path) -> None:
    clip = load(find_material([str(write_still(tmp_path / "a", disparity=False))])[0])
    assert clip.disparity_from == "matched"
    assert np.median(np.abs(clip.disparity[0] - pair()[2])) < 0.2


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_lists_name_views_scales_and_domains(tmp_path: Path, kind: str) -> None:
    left, right, disparity = pair()
    write_png(tmp_path / "l.png", left)
    write_png(tmp_path / "r.png", right)
    cv2.imwrite(str(tmp_path / "d.png"), (disparity * 8).astype(np.uint8))
    row = {"name": "one", "left": "l.png", "right": "r.png", "disparity": "d.png"}
    row |= {"disparity_scale": "0.125", "domain": "driving"}
    path = tmp_path / f"list.{kind}"
    if kind == "csv":
        path.write_text(",".join(row) + "\n" + ",".join(row.values()) + "\n")
    else:
        pq.write_table(pa.Table.from_pylist([row]), path)
    (ref,) = find_material([str(path)])
    assert (ref.name, ref.domain) == ("one", "driving")
    assert np.unique(load(ref).disparity[0]).tolist() == [WALL, BOARD]


def test_packed_videos_are_parted_by_their_names(tmp_path: Path) -> None:
    import av

    left, right, _ = pair()
    path = tmp_path / "film.3D.FSBS_LRF.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 2 * W, H, "bgr0"
        for _ in range(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.concatenate([left, right], 1), format="rgb24")))
        container.mux(stream.encode(None))
    (ref,) = find_material([str(tmp_path)])
    clip = load(ref)
    assert ref.layout == "full-sbs"
    assert clip.left.shape == (3, H, W, 3)
    assert np.array_equal(clip.right[1], right)
    path.rename(tmp_path / "film.mkv")
    with pytest.raises(MaterialError, match="give --layout"):
        find_material([str(tmp_path)])


def test_swapped_eyes_are_said_and_exchanged_only_if_asked(tmp_path: Path) -> None:
    left, right, _ = pair()
    write_png(tmp_path / "a_left.png", right)
    write_png(tmp_path / "a_right.png", left)
    (ref,) = find_material([str(tmp_path)])
    with pytest.raises(MaterialError, match="eyes are swapped"):
        load(ref)
    clip = load(ref, exchange_swapped=True)
    assert np.array_equal(clip.left[0], left)
    assert clip.order == "swapped"


def test_a_disparity_of_the_wrong_sign_is_said(tmp_path: Path) -> None:
    folder = write_still(tmp_path / "a")
    write_pfm(folder / "disp0GT.pfm", -pair()[2])
    with pytest.raises(MaterialError, match="the other way round"):
        load(find_material([str(folder)])[0])


def wrong_size(folder: Path) -> None:
    write_png(folder / "im1.png", pair()[1][:, :-2])


def wrong_count(folder: Path) -> None:
    (folder / "im0.png").unlink()
    write_clip(folder, "x", 3)
    (folder / "x_right" / "002.png").unlink()


def torn_picture(folder: Path) -> None:
    (folder / "im1.png").write_bytes((folder / "im1.png").read_bytes()[:60])


def torn_disparity(folder: Path) -> None:
    (folder / "disp0GT.pfm").write_bytes(b"Pf\n128 64\n-1\nshort")


def other_disparity(folder: Path) -> None:
    write_pfm(folder / "disp0GT.pfm", pair()[2][:, :100])


def meant_in_metres(folder: Path) -> None:
    write_pfm(folder / "disp0GT.pfm", pair()[2] * 1000)


def nan_frames(folder: Path) -> None:
    left, right, _ = pair()
    views = np.stack([right, right]).astype(np.float32) / 255
    views[1, 5, 5, 0] = np.nan
    (folder / "im0.png").unlink()
    np.save(folder / "a_left.npy", np.stack([left, left]))
    np.save(folder / "a_right.npy", views)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (wrong_size, "left view is 1 frames of 128x64, the right one 1 frames of 126x64"),
        (wrong_count, "3 left frames but 2 right ones"),
        (torn_picture, "cannot be read as a picture"),
        (torn_disparity, "cannot be read as a PFM"),
        (other_disparity, "disparity of 100x64 for views of 128x64"),
        (meant_in_metres, "is disparity_scale right"),
        (nan_frames, "frame 1 holds NaN"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_material_that_does_not_fit_is_said_in_one_sentence(tmp_path: Path, spoil, said: str) -> None:  # type: ignore[no-untyped-def]
    folder = write_still(tmp_path / "a")
    spoil(folder)
    (ref,) = find_material([str(folder)])
    with pytest.raises(MaterialError, match=said):
        load(ref)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.csv", "left,rihgt\nx,y\n", "no column is called 'rihgt'"),
        ("a.csv", "left,right\n,b.png\n", "row 1: the column left is empty"),
        ("a.csv", "left,right,disparity,disparity_scale\na.png,b.png,c.png,wide\n", "must be a number"),
        ("a.csv", "left,right\n../a.png,b.png\n", "leads out of a folder"),
        ("a.csv", "name,left,right\n/etc/x,a.png,b.png\n", "leads out of a folder"),
        ("a.parquet", "PAR1 torn", "torn or no such list"),
        ("a.txt", "x", "neither a folder, a list nor a video"),
        ("a.csv", "left,right\na.png,b.png\na.png,c.png\n", "two clips are called a"),
    ],
)
def test_lists_that_cannot_be_read_say_where(tmp_path: Path, name: str, text: str, said: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(MaterialError, match=said):
        find_material([str(tmp_path / name)])


def test_nothing_found_and_a_missing_partner_are_errors(tmp_path: Path) -> None:
    with pytest.raises(MaterialError, match="no stereo material found"):
        find_material([str(tmp_path)])
    write_png(tmp_path / "a_left.png", pair()[0])
    with pytest.raises(MaterialError, match="no right view"):
        find_material([str(tmp_path)])
