"""What convert reaches with its depth networks on a device: ``python -m benchmarks.convert_device CLIP --device cuda``.

The workers of convert, each in a process of its own as under Ray, share the device; neither Ray nor Prefect is needed.
A real clip is scaled, repeated and cut into as many segments as there are workers. Time is wall time from the first
segment to the last, workers warm; planning, which one worker does, is timed by itself. Then the depth network alone:
what it takes, against the time that its arithmetic and its bytes would take on this device.
"""

import argparse
import json
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.made import sized_video
from spatialdreamer_core.config import ConvertConfig, DepthConfig, Quality, RefineConfig, RefineName
from spatialdreamer_core.depth.protocol import DepthRequest
from spatialdreamer_core.depth.registry import create_depth_estimator
from spatialdreamer_core.store.place import Place
from tasks.convert_worker import ConvertWorker, FinishJob, SegmentJob

STAGES = ("decode", "depth", "flow", "warp", "fill", "refine", "metrics", "encode")
KEYS_AT_ONCE = 8
_worker: ConvertWorker


def begin(config: ConvertConfig, output: str, device: str, together: Any) -> None:
    """Make this process a worker, and wait until all are."""
    global _worker  # noqa: PLW0603  # a pool's processes have no other place
    _worker = ConvertWorker(config, output, "benchmark", device)
    _worker.ready()
    together.wait()


def work(kind: str, payload: Any) -> Any:
    """Do a job of convert in a worker."""
    return _worker.run(kind, payload)


def gpu_peak(_: int) -> float:
    """GiB of the device that this worker's tensors took."""
    if "torch" not in sys.modules:
        return 0.0
    import torch

    return torch.cuda.max_memory_allocated() / 2**30 if torch.cuda.is_available() else 0.0


def converted(video: Path, folder: Path, config: ConvertConfig, device: str, workers: int) -> dict[str, Any]:
    """Convert one file with so many workers; figures of it."""
    Place(str(folder)).prepare()
    context = multiprocessing.get_context("spawn")
    started = time.monotonic()
    pool = ProcessPoolExecutor(workers, context, begin, (config, str(folder), device, context.Barrier(workers)))
    with pool:
        list(pool.map(gpu_peak, range(workers), chunksize=1))
        ready = time.monotonic()
        plan = pool.submit(work, "plan", str(video)).result()
        planned = time.monotonic()
        name = plan.work_key, plan.info.source_id, str(video)
        jobs = [SegmentJob(*name, segment.index) for segment in plan.segments]
        rows = [commit.row for commit in pool.map(partial(work, "segment"), jobs)]
        done = time.monotonic()
        pool.submit(work, "finish", FinishJob(*name, "made")).result()
        joined = time.monotonic()
        peak = max(pool.map(gpu_peak, range(4 * workers), chunksize=1))
    frames = sum(row["frames"] for row in rows)
    told = {f"{stage}_ms": 1000 * sum(row[f"{stage}_s"] or 0.0 for row in rows) / frames for stage in STAGES}
    return told | {
        "frames": frames, "segments": len(rows),
        "fps": frames / (done - planned), "whole_fps": frames / (joined - ready),
        "start_s": ready - started, "plan_s": planned - ready, "finish_s": joined - done,
        "worker_ms": 1000 * sum(row["total_s"] for row in rows) / frames, "gpu_peak_gib": peak,
        "peak_memory_mb": max(row["peak_memory_mb"] for row in rows), "depth_digest": rows[0]["depth_digest"],
    }  # fmt: skip


def depth_alone(config: DepthConfig, device: str, rows: int, columns: int) -> dict[str, Any]:
    """A key frame's depth without anything else, and what its network's operations come to."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from benchmarks.svd import ATTENTION, _seconds, _Traffic, machine_speed

    estimator: Any = create_depth_estimator(config, device)
    pictures = np.random.default_rng(0).integers(0, 256, (KEYS_AT_ONCE, rows, columns, 3), np.uint8)
    request = DepthRequest(pictures, pictures, np.arange(KEYS_AT_ONCE), np.zeros(KEYS_AT_ONCE))
    for _ in range(3):
        estimator.infer(request)
    taken = statistics.median(_seconds(lambda: estimator.infer(request), device) for _ in range(10)) / KEYS_AT_ONCE
    counter, traffic = FlopCounterMode(display=False, custom_mapping=ATTENTION), _Traffic()
    with traffic, counter:
        estimator.infer(request)
    hub = config.name != "builtin"
    flops_s, bytes_s = machine_speed(torch.float16 if hub and device == "cuda" else torch.float32, device)
    flops, moved = counter.get_total_flops() / KEYS_AT_ONCE, traffic.moved / KEYS_AT_ONCE
    return {
        "key_ms": 1000 * taken, "key_gflop": flops / 1e9, "key_gb": moved / 1e9,
        "key_by_arithmetic_ms": 1000 * flops / flops_s, "key_by_bytes_ms": 1000 * moved / bytes_s,
    }  # fmt: skip


def random_depth_anything(folder: Path) -> Path:
    """Depth Anything V2 small with random weights: its cost is what is wanted."""
    import torch

    from spatialdreamer_core.torchvision_shim import ensure_torchvision

    ensure_torchvision()
    import transformers

    torch.manual_seed(0)
    backbone = transformers.Dinov2Config(  # type: ignore[call-arg]
        hidden_size=384, num_hidden_layers=12, num_attention_heads=6, image_size=518, patch_size=14,
        out_features=["stage3", "stage6", "stage9", "stage12"], reshape_hidden_states=False, apply_layernorm=True,
    )  # fmt: skip
    config = transformers.DepthAnythingConfig(
        backbone_config=backbone, reassemble_hidden_size=384, neck_hidden_sizes=[48, 96, 192, 384],
        fusion_hidden_size=64, head_in_index=-1, head_hidden_size=32, patch_size=14,
    )  # fmt: skip
    transformers.DepthAnythingForDepthEstimation(config).save_pretrained(folder)
    settings = {"size": {"height": 518, "width": 518}, "ensure_multiple_of": 14}
    (folder / "preprocessor_config.json").write_text(json.dumps(settings), encoding="utf-8")
    return folder


def main() -> None:
    """Measure, print, and append a line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cuda")
    parser.add_argument(
        "--depth", default="builtin", help="as for convert, or random: Depth Anything V2 small, untrained"
    )
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--segment", type=int, default=60, help="frames that each worker makes")
    parser.add_argument("--width", type=int, default=1920)
    parser.add_argument("--height", type=int, default=1080)
    parser.add_argument("--quality", choices=["fast", "best"], default="fast")
    parser.add_argument("--refine", choices=["auto", "none", "mini"], default="auto")
    parser.add_argument("--output", type=Path, help="file that gets the figures as a line of JSON")
    arguments = parser.parse_args()
    quality: Quality = arguments.quality
    refine: RefineName = arguments.refine
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        depth = arguments.depth
        if depth == "random":
            depth = str(random_depth_anything(folder / "depth"))
        config = ConvertConfig(
            depth=DepthConfig(name=depth), quality=quality, refine=RefineConfig(name=refine),
            segment_frames=arguments.segment,
        )  # fmt: skip
        frames, size = arguments.segment * arguments.workers, {"width": arguments.width, "height": arguments.height}
        video = sized_video(arguments.clip, folder / "film.mkv", frames=frames, **size)
        told: dict[str, Any] = {name: getattr(arguments, name) for name in ("device", "depth", "workers", "quality")}
        told |= converted(video, folder / "out", config, arguments.device, arguments.workers)
        rows = round(config.depth.width * arguments.height / arguments.width)
        told |= depth_alone(config.depth, arguments.device, rows, config.depth.width)
    for key, value in told.items():
        sys.stdout.write(f"{key:22s} {value:.4g}\n" if isinstance(value, float) else f"{key:22s} {value}\n")
    if arguments.output:
        with arguments.output.open("a", encoding="utf-8") as file:
            file.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    main()
