import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from spatialdreamer_core.config import DepthConfig
from spatialdreamer_core.errors import ConfigError, MaterialError
from spatialdreamer_core.evaluate.config import EvaluateConfig, parse_method
from spatialdreamer_core.evaluate.material import find_material
from spatialdreamer_core.evaluate.run import Evaluation, Perceptual, Report
from spatialdreamer_core.evaluate.table import latex
from spatialdreamer_core.store.place import Place
from tests.core.evaluate.made import BOARD, WALL, W, pair, write_clip, write_png, write_still
from tests.core.refine.stand_in import write_stand_in


def evaluate(material: Path, output: Path, *methods: str, **settings: object) -> Report:
    config = EvaluateConfig(methods=tuple(parse_method(m) for m in methods), lpips=(), match_every=2, **settings)  # type: ignore[arg-type]
    return Evaluation(config, find_material([str(material)]), Place(str(output)), Perceptual()).run()


def rows(output: Path) -> dict[tuple[str, str], dict[str, object]]:
    return {(r["clip"], r["method"]): r for r in pq.read_table(output / "evaluation.parquet").to_pylist()}


@pytest.fixture
def material(tmp_path: Path) -> Path:
    folder = tmp_path / "material"
    write_still(folder / "board")
    return write_clip(folder, "walk")


def test_every_clip_and_method_has_a_row_and_the_figures_are_what_they_must_be(tmp_path: Path, material: Path) -> None:
    report = evaluate(material, tmp_path / "out", "warp", "telea", "ours")
    found = rows(tmp_path / "out")
    assert report.methods == ("identity", "warp", "telea", "ours")
    assert sorted(found) == sorted((c, m) for c in ("board", "walk") for m in report.methods)
    for clip in ("board", "walk"):
        identity, warp, ours = (found[clip, m] for m in ("identity", "warp", "ours"))
        # whole disparities: what the source shows arrives unchanged
        assert warp["psnr_seen"] == ours["psnr_seen"] == 100
        assert identity["psnr"] < ours["psnr"]
        assert warp["psnr_hole_interior"] < ours["psnr_hole_interior"] < 100
        assert ours["siou"] > 0.7 > identity["siou"]
        assert ours["epe_px"] < 0.5 < identity["epe_px"]
        assert (ours["made_order"], ours["eye_order"]) == ("right", "right")
    still, moving = found["board", "ours"], found["walk", "ours"]
    assert still["e_warp"] is None
    assert 0 < moving["e_warp_true"] < moving["e_warp"] < 0.01
    assert still["hole_border_share"] == pytest.approx(WALL / W, rel=0.1)
    assert still["hole_interior_share"] == pytest.approx((BOARD - WALL) * 40 / (W * 64), rel=0.1)


def test_the_same_numbers_twice_and_nothing_is_measured_again(tmp_path: Path, material: Path) -> None:
    first = evaluate(material, tmp_path / "a", "warp", "ours")
    again = evaluate(material, tmp_path / "a", "warp", "ours")
    other = evaluate(material, tmp_path / "b", "warp", "ours")
    assert (first.rows_made, again.rows_made, other.rows_made) == (6, 0, 6)
    for name in ("evaluation.parquet", "table.md", "table.tex"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_only_what_is_missing_is_measured(tmp_path: Path, material: Path) -> None:
    evaluate(material, tmp_path / "out", "warp")
    assert evaluate(material, tmp_path / "out", "warp", "ns").rows_made == 2
    torn = next((tmp_path / "out" / ".spatialdreamer" / "evaluate").glob("*.json"))
    torn.write_bytes(torn.read_bytes()[:40])
    assert evaluate(material, tmp_path / "out", "warp", "ns").rows_made == 1
    write_png(material / "board" / "im1.png", pair()[1] // 2)
    assert evaluate(material, tmp_path / "out", "warp", "ns").rows_made == 3


def test_somebody_elses_views_are_judged_too(tmp_path: Path, material: Path) -> None:
    peer = tmp_path / "peer"
    left, right, _ = pair()
    write_png(peer / "board_right.png", right)
    (peer / "walk").mkdir(parents=True)
    for t in range(3):
        left, right, _ = pair(2 * t)
        write_png(peer / "walk" / f"{t}.png", np.concatenate([left, right], axis=1))  # side by side
    report = evaluate(material, tmp_path / "out", "ours", f"peer={peer}")
    found = rows(tmp_path / "out")
    assert found["board", "peer"]["psnr"] == found["walk", "peer"]["psnr"] == 100
    assert found["walk", "peer"]["ssim"] == pytest.approx(1)
    assert "| peer | **1.000** | **100.00** |" in report.table
    write_png(peer / "board_right.png", left)
    assert evaluate(material, tmp_path / "out", "ours", f"peer={peer}").rows_made == 1


def test_a_view_that_is_missing_or_of_another_size_stops_before_any_table(tmp_path: Path, material: Path) -> None:
    peer, output = tmp_path / "peer", tmp_path / "out"
    peer.mkdir()
    with pytest.raises(MaterialError, match="no right view for clip walk"):
        evaluate(material, output, f"peer={peer}")
    write_png(peer / "board.png", pair()[1])
    write_png(peer / "walk.png", pair()[1][:, :-8])
    with pytest.raises(MaterialError, match="1 frames of 120x64, but clip walk has 3 of 128x64"):
        evaluate(material, output, f"peer={peer}")
    assert not (output / "evaluation.parquet").exists()
    assert not (output / "table.md").exists()


def test_own_depth_finds_one_scale_for_every_method(tmp_path: Path) -> None:
    material = write_clip(tmp_path / "m", "walk", 4)
    depth = DepthConfig(name=f"{__name__}:KnownDepth", key_interval=2, width=W)
    evaluate(material, tmp_path / "out", "telea", "ours", protocol="own-depth", depth=depth)
    found = rows(tmp_path / "out")
    for method in ("telea", "ours"):
        row = found["walk", method]
        # the truth is (BOARD - WALL) px from far to near; the depth given below spans about its 0 to 1
        assert row["scale_strength_pct"] == pytest.approx(100 * (BOARD - WALL) / W, rel=0.2)
        assert row["epe_px"] < 1
        assert row["depth_digest"] == "known-1"
    assert found["walk", "identity"]["scale_strength_pct"] is None
    assert json.loads(found["walk", "ours"]["settings"])["protocol"] == "own-depth"


def test_a_network_is_a_method_and_its_rows_go_with_its_weights(tmp_path: Path, material: Path) -> None:
    first = write_stand_in(tmp_path / "first", bright=0.3)
    report = evaluate(material, tmp_path / "out", "ours", f"net:refine={first}")
    found = rows(tmp_path / "out")
    assert report.methods == ("identity", "ours", "net")
    assert found["walk", "net"]["psnr_seen"] == found["walk", "ours"]["psnr_seen"] == 100
    assert found["walk", "net"]["psnr_hole_interior"] < found["walk", "ours"]["psnr_hole_interior"]
    assert found["walk", "net"]["refine_digest"].startswith("mini-")  # type: ignore[attr-defined]
    assert found["walk", "ours"]["refine_digest"] is None
    write_stand_in(tmp_path / "first", bright=0.1)
    assert evaluate(material, tmp_path / "out", "ours", f"net:refine={first}").rows_made == 2
    assert rows(tmp_path / "out")["walk", "net"]["refine_digest"] != found["walk", "net"]["refine_digest"]


def test_a_network_that_is_not_there_stops_before_any_work(tmp_path: Path, material: Path) -> None:
    with pytest.raises(ConfigError, match="nowhere"):
        evaluate(material, tmp_path / "out", f"net:refine={tmp_path / 'nowhere'}")
    assert not list((tmp_path / "out").rglob("*.json"))


class KnownDepth:
    """Brightness is nearness: true in the made clips."""

    name, digest, uses_partner = "known", "known-1", False

    def __init__(self, config: DepthConfig, device: str) -> None:
        """As ``module:Class`` estimators are made."""

    def infer(self, request):  # type: ignore[no-untyped-def]
        import cv2

        return np.stack([(cv2.blur(p, (5, 5)).mean(-1) > 125).astype(np.float32) for p in request.pictures])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("oours", "no method is called 'oours'"),
        ("=folder", "NAME=FOLDER is needed"),
        ("x:colour=red", "colour is no setting"),
        ("x:fill=magic", "no fill is called 'magic'"),
        ("x:temporal=maybe", "must be yes or no"),
    ],
)
def test_a_method_that_does_not_exist_is_refused(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        parse_method(text)


def test_settings_of_ours_are_read() -> None:
    method = parse_method("plain:fill=row,temporal=no,depth=cues")
    assert (method.name, method.fill.name, method.fill.temporal) == ("plain", "row", False)
    assert method.depth is not None
    assert method.depth.name == "cues"


def test_settings_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(ConfigError, match="at least 10 frames"):
        EvaluateConfig(fvd=True, frames=4)
    with pytest.raises(ConfigError, match="two methods are called ours"):
        EvaluateConfig(methods=(parse_method("ours"), parse_method("ours")))


def test_latex_marks_the_best_competitor_and_escapes_names() -> None:
    base = {"clip": "a", "psnr": 20.0, "ssim": 0.9}
    table = latex(
        [base | {"method": "identity", "psnr": 50.0}, base | {"method": "my_method"}], ("identity", "my_method"), {}
    )
    assert r"my\_method & \textbf{0.900} & \textbf{20.00}" in table
    assert "identity & 0.900 & 50.00" in table


def test_domains_have_tables_of_their_own(tmp_path: Path) -> None:
    for domain in ("indoor", "driving"):
        write_still(tmp_path / "m" / domain / "board")
    report = evaluate(tmp_path / "m", tmp_path / "out", "warp")
    assert "## Domain: driving (1 clip)" in report.table
    assert "## Domain: indoor (1 clip)" in report.table
    assert "## Domain: not said" not in report.table
    assert {row["domain"] for row in rows(tmp_path / "out").values()} == {"indoor", "driving"}


def test_views_made_for_the_other_eye_are_said(tmp_path: Path) -> None:
    write_still(tmp_path / "m" / "board")
    write_png(tmp_path / "peer" / "board.png", pair(wall=-WALL, board=-BOARD)[1])
    report = evaluate(tmp_path / "m", tmp_path / "out", f"peer={tmp_path / 'peer'}")
    assert "look as if their eyes were swapped: peer" in report.table


class CountingI3d:
    """Features that are the mean colour of a clip's halves: equal clips have equal ones."""

    def logits(self, frames: list[np.ndarray]) -> np.ndarray:
        clip = np.stack(frames).astype(float)
        return np.array([*clip[: len(clip) // 2].mean((0, 1, 2)), *clip[len(clip) // 2 :].mean((0, 1, 2))])


def test_perceptual_measures_and_fvd_reach_the_table_with_their_weights_named(tmp_path: Path) -> None:
    from spatialdreamer_core.evaluate.measure import Networks
    from spatialdreamer_core.metrics.lpips import Lpips
    from tests.core.metrics.test_lpips import tensors

    material, peer = tmp_path / "m", tmp_path / "peer"
    for name in ("a", "b"):
        write_clip(material, name, 10)
        (peer / name).mkdir(parents=True)
        for t in range(10):
            write_png(peer / name / f"{t}.png", pair(2 * t)[1])
    write_png(material / "b_right" / "003.png", pair(6)[1] // 2)
    networks = Networks({"alex": Lpips("alex", tensors("alex"))}, CountingI3d())
    perceptual = Perceptual(networks, {"alex": "ab" * 32}, "cd" * 32)
    methods = (parse_method("ours"), parse_method(f"peer={peer}"))
    config = EvaluateConfig(methods=methods, frames=10, lpips=("alex",), match_every=5, fvd=True)
    made = [
        Evaluation(config, find_material([str(material)]), Place(str(tmp_path / "out")), perceptual).run() for _ in "ab"
    ]
    assert [report.rows_made for report in made] == [6, 0]
    assert made[0].table == made[1].table
    found = rows(tmp_path / "out")
    assert found["a", "peer"]["lpips_alex"] == 0
    assert found["b", "peer"]["lpips_alex"] > 0
    assert found["a", "ours"]["lpips_alex_hole_interior"] > found["a", "ours"]["lpips_alex"] > 0
    assert found["a", "ours"]["lpips_weights"] == f"alex {'ab' * 6}"
    assert found["a", "ours"]["lpips_vgg"] is None
    assert "FVD, I3D Kinetics-400 logits (weights cdcdcdcdcdcd), 2 clips of 10 frames; biased upwards" in made[0].table
    assert "| LPIPS ↓ | FVD ↓ |" in made[0].table


def test_clips_too_short_for_fvd_stop_the_run(tmp_path: Path) -> None:
    write_clip(tmp_path / "m", "a", 3)
    config = EvaluateConfig(methods=(), frames=10, lpips=(), fvd=True)
    with pytest.raises(MaterialError, match="3 frames, but FVD compares clips of 10"):
        Evaluation(config, find_material([str(tmp_path / "m")]), Place(str(tmp_path / "out")), Perceptual()).run()
