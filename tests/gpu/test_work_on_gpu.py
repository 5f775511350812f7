"""Convert and train on a GPU, small but whole."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("diffusers")

from safetensors.numpy import save_file  # noqa: E402
from safetensors.torch import load_file  # noqa: E402

from spatialdreamer_core.config import ConvertConfig, DepthConfig, RefineConfig  # noqa: E402
from spatialdreamer_core.store.place import Place  # noqa: E402
from spatialdreamer_core.training.stereo.config import Pace, TrainConfig  # noqa: E402
from spatialdreamer_core.training.stereo.loop import Loop  # noqa: E402
from spatialdreamer_core.training.stereo.peers import Peers  # noqa: E402
from spatialdreamer_core.training.stereo.progress import TrainReport  # noqa: E402
from spatialdreamer_core.training.stereo.sizes import create_recipe  # noqa: E402
from tasks.convert_worker import ConvertWorker, FinishJob, SegmentJob  # noqa: E402
from tests.core.models.svd.made import tiny  # noqa: E402
from tests.core.pairs.made import MadeSet  # noqa: E402
from tests.core.training.stereo.test_mini_data import SMALL, bank, lpips_arrays  # noqa: E402
from tests.media import scene, write_video  # noqa: E402

pytestmark = pytest.mark.gpu
CONVERT = ConvertConfig(depth=DepthConfig(width=96), refine=RefineConfig(name="none"), segment_frames=12)


def converted(film: Path, output: Path, device: str) -> tuple[list[dict[str, Any]], np.ndarray[Any, Any]]:
    """The rows, and the luma of all pictures of the stereo file."""
    place = Place(str(output))
    place.prepare()
    worker = ConvertWorker(CONVERT, str(output), "run", device)
    plan = worker.run("plan", str(film))
    job = FinishJob(plan.work_key, plan.info.source_id, str(film), "film")
    rows = [
        worker.run("segment", SegmentJob(job.work_key, job.source_id, job.uri, segment.index)).row
        for segment in plan.segments
    ]
    worker.run("finish", job)
    (made,) = output.glob("film*.mkv")
    with av.open(str(made)) as container:
        return rows, np.stack([one.to_ndarray(format="gray") for one in container.decode(video=0)])


def test_convert_makes_nearly_the_pictures_that_it_makes_on_a_cpu(gpu: str, tmp_path: Path) -> None:
    film = write_video(tmp_path / "film.mkv", scene(30, width=192, height=108, speed=0.7))
    (cpu_rows, wanted), (rows, found) = (converted(film, tmp_path / device, device) for device in ("cpu", gpu))
    assert len(rows) == len(cpu_rows) == 3
    assert all(row["depth_digest"].endswith("-torch") for row in rows), "builtin runs through torch on a GPU"
    assert found.shape == wanted.shape
    assert np.square(found.astype(float) - wanted).mean() < 4  # 42 dB
    assert found[:, :, 192:].std() > 5


def trained(
    config: TrainConfig, output: Path, device: str, leave_at: int | None = None
) -> tuple[TrainReport, dict[str, Any]]:
    place, asked = Place(str(output)), iter(range(1, 100))
    place.prepare()
    pace, told = Pace(validate_every=100, save_every=100, log_every=1), []
    stop = lambda: next(asked) == leave_at  # noqa: E731
    peers = Peers(0, 1, torch.device(device))
    report = Loop(create_recipe(config), config, pace, place, peers, told.append, stop).run()
    files = sorted((output / "weights").glob("*.safetensors")) if leave_at is None else []
    return report, {f"{file.stem}.{name}": value for file in files for name, value in load_file(file).items()}


def far(one: dict[str, Any], other: dict[str, Any]) -> float:
    """Root of the summed squared differences of what both have."""
    return float(sum((one[name] - other[name]).square().sum() for name in one if name in other) ** 0.5)


@pytest.mark.parametrize("half", [False, True])
def test_svd_trains_both_stages_and_goes_on_where_it_left(gpu: str, tmp_path: Path, half: bool) -> None:
    MadeSet.make(tmp_path / "pairs", 3, 3)
    config = TrainConfig(
        size="svd", pairs=str(tmp_path / "pairs"), steps=4, batch=1, rate=1e-3, warmup=1, ema=0.5, half=half,
        network={"weights": "random-tiny"}, data={"validation_steps": 1},
    )  # fmt: skip
    whole, wanted = trained(config, tmp_path / "whole", gpu)
    first, _ = trained(config, tmp_path / "parts", gpu, leave_at=2)
    rest, found = trained(config, tmp_path / "parts", gpu)
    assert (whole.step, first.step, rest.step, rest.steps_made) == (4, 2, 4, 2)
    assert found.keys() == wanted.keys()
    if not half:
        assert far(found, wanted) < 0.2 * far(wanted, tiny().state_dict()), "not exact on a GPU, but the same way"
    begun = replace(config, stage=2, start_from=str(tmp_path / "whole" / "weights"), data={"frames": 2})
    second, moved = trained(begun, tmp_path / "second", gpu)
    assert second.step == 4
    assert all(torch.isfinite(value).all() for value in moved.values())
    assert any(not torch.equal(moved[name], wanted[name]) for name in wanted)


def test_mini_learns_with_batches_of_other_processes_and_writes_what_convert_loads(gpu: str, tmp_path: Path) -> None:
    pictures, lpips = tmp_path / "pictures", tmp_path / "lpips.safetensors"
    pictures.mkdir()
    made = bank()
    np.savez(
        pictures / "a.npz", pictures=np.stack([one.picture for one in made]),
        inverse_depth=np.stack([one.nearness for one in made]),
    )  # fmt: skip
    save_file(lpips_arrays(), lpips)
    config = TrainConfig(
        size="mini", pictures=str(pictures), steps=12, batch=4, rate=1e-2, warmup=1, network=SMALL,
        data={"lpips": str(lpips)}, loader_processes=2,
    )  # fmt: skip
    report, weights = trained(config, tmp_path / "out", gpu)
    assert report.step == 12
    assert all(torch.isfinite(value).all() for value in weights.values())
    assert {file.name for file in (tmp_path / "out" / "weights").iterdir()} >= {"mini.json", "mini.safetensors"}
    row = [line for line in (tmp_path / "out" / "curve.jsonl").read_text().splitlines() if "gpu_peak_mb" in line]
    assert len(row) == 12
