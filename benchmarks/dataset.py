"""``python -m benchmarks.dataset CLIP...``: make-pairs as a whole, shards against tar, the loader, a huge plan."""

import argparse
import multiprocessing
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa

from flows.config import PairsRunConfig, checked
from flows.run_pairs import run_pairs
from flows.weights import weights_provider
from spatialdreamer_core.config import DepthConfig
from spatialdreamer_core.convert.small import small_size
from spatialdreamer_core.depth.protocol import DepthRequest
from spatialdreamer_core.depth.registry import create_depth_estimator
from spatialdreamer_core.errors import WeightsError
from spatialdreamer_core.pairs import naming
from spatialdreamer_core.pairs.commits import Sample, ShardCommit, each_commit
from spatialdreamer_core.pairs.dataset import dataset_shards
from spatialdreamer_core.pairs.plan import CLIPS_FOUND, HASHES, Closed, ShardRows, extend_plan, latest, read_plan
from spatialdreamer_core.store.place import Place
from spatialdreamer_core.store.tar import pack, read_piece
from tasks.pairs_library import PairsReport

Row = tuple[str, str, str, bool]
SHARD_BYTES = 512e6
REPEATS = 3
STEPS = 4


def speed_rows(clips: list[Path], folder: Path, workers: int) -> tuple[list[Row], Path]:
    """Pairs of real clips at 512x288 with ready depth; gives the rows and the dataset."""
    depth = folder / "depth"
    depth.mkdir()
    for clip in clips:
        np.save(depth / f"{clip.stem}.npy", ready_depth(clip))
    report = make(clips, folder / "pairs", workers, {"import_from": str(depth)})
    fps, held = report.fps, report.held_s
    alone = fps * held / (held - report.stage_s["decode"])
    shares = ", ".join(f"{name} {100 * s / held:.0f}" for name, s in report.stage_s.items() if name != "look")
    own = make(clips, folder / "estimated", workers, {})
    own_shares = ", ".join(f"{name} {100 * s / own.held_s:.0f}" for name, s in own.stage_s.items() if name != "look")
    return [
        ("pairs of 512x288, ready depth, target frames/s", f"{fps:.1f}", "reported", True),
        ("  share of held time, %: " + shares, "", "", True),
        ("  without the time of decoding the films", f"{alone:.1f}", ">= 40", alone >= 40),
        ("pairs with the shipped depth network, target frames/s", f"{own.fps:.1f}", "reported", True),
        ("  share of held time, %: " + own_shares, "", "", True),
    ], folder / "pairs"


def make(clips: list[Path], output: Path, workers: int, depth: dict[str, str]) -> PairsReport:
    """One run, every filter open, so that each frame counts."""
    filters = {"max_duplicate_bits": -1, "max_blur": 1.0, "max_text_share": 1.0, "min_motion_px": 0.0}
    settings = {
        "sources": [str(clip) for clip in clips],
        "output": str(output),
        "workers": workers,
        "prefect": "off",
        "pairs": {"clips": {"buckets": ["512x288"]}, "depth": depth, "filters": filters, "val_share": 0.0},
    }
    return run_pairs(checked(PairsRunConfig, settings, "benchmark"), lambda _: None)


def ready_depth(clip: Path) -> "np.ndarray[tuple[int, ...], np.dtype[np.float32]]":
    """The shipped network's depth of every frame, [T, h, w]."""
    import av
    import cv2

    estimator, maps = create_depth_estimator(DepthConfig()), []
    with av.open(str(clip), "r") as container:
        for index, frame in enumerate(container.decode(video=0)):
            size = small_size(frame.width, frame.height, 320)
            rgb = np.asarray(cv2.resize(frame.to_ndarray(format="rgb24"), size, interpolation=cv2.INTER_AREA), np.uint8)
            request = DepthRequest(rgb[None], rgb[None], np.array([index]), np.array([0.0]))
            maps.append(estimator.infer(request)[0])
    return np.stack(maps).astype(np.float32)


def writing_rows(dataset: Path, folder: Path) -> list[Row]:
    """Packing a shard of real samples against tar of the same files, both until they are on the disk."""
    place, pieces, files = Place(str(dataset)), folder / "pieces", folder / "files"
    pieces.mkdir()
    files.mkdir()
    size = copied = 0
    while size < SHARD_BYTES:  # the dataset may be smaller than a shard: then its samples come again
        for commit in dataset_shards(place):
            for sample in commit.samples:
                data = place.read_range(commit.file, sample.offset, sample.offset + sample.bytes)
                key, members = read_piece(data, commit.file)
                (pieces / f"{copied:04d}").write_bytes(data)
                for name, body in members.items():
                    (files / f"{key}-{copied:04d}.{name}").write_bytes(body)
                size, copied = size + len(data), copied + 1
    chosen = sorted(pieces.iterdir())
    subprocess.run(["sync"], check=True)
    ours, theirs = [], []
    for number in range(REPEATS):
        ours.append(seconds(partial(pack, chosen, folder / f"ours-{number}.tar")))
        theirs.append(seconds(partial(plain_tar, files, folder / f"theirs-{number}.tar")))
    ratio = min(theirs) / min(ours)
    rates = f"{size / 1e6 / min(ours):.0f} / {size / 1e6 / min(theirs):.0f}"
    return [
        (f"packing {size / 1e6:.0f} MB with digests / tar of the same files, MB/s", rates, "", True),
        ("packing / tar", f"{ratio:.2f}", ">= 0.80", ratio >= 0.8),
    ]


def plain_tar(files: Path, into: Path) -> None:
    """What tar does, and the same promise that it is on the disk."""
    subprocess.run(["tar", "-cf", str(into), "-C", str(files), "."], check=True)
    subprocess.run(["sync", str(into)], check=True)


def seconds(act: Callable[[], object], clock: Callable[[], float] = time.monotonic) -> float:
    """How long something takes."""
    begin = clock()
    act()
    return clock() - begin


def loader_rows(dataset: Path) -> list[Row]:
    """Samples a second, with one thread and with two, against what training ``mini`` takes.

    With one thread by processor time, with two by the clock; loader and steps in turn, the least of several.
    """
    rows = []
    samples = sum(len(commit.samples) for commit in dataset_shards(Place(str(dataset))))
    for threads in (1, 2):
        clock = time.process_time if threads == 1 else time.monotonic
        floats, levels = (loading(dataset, threads, levels) for levels in (False, True))
        steps = [mini_step(dataset, stage, threads) for stage in (1, 2)]
        took = [[seconds(act, clock) for act in (floats, levels, *steps, *steps)] for _ in range(STEPS)]
        least = [min(times) for times in zip(*took, strict=True)]
        as_floats, as_levels = (samples / epoch_s for epoch_s in least[:2])
        taken = [1 / min(pair) for pair in zip(least[2:4], least[4:6], strict=True)]
        for what, rate in (("float32", as_floats), ("levels, as mini asks for", as_levels)):
            said = f"loader, {threads} thread(s), {what}: samples/s of 16 frames 512x288"
            rows.append((said, f"{rate:.1f} ({16 * rate:.0f} frames/s)", "reported", True))
        for stage, wanted in zip((1, 2), taken, strict=True):
            said = f"loader over stage {stage} of mini ({wanted:.2f} samples/s), {threads} thread(s) each"
            ratio = as_levels / wanted
            rows.append((said, f"{ratio:.2f}", ">= 4", ratio >= 4))
    return rows


def loading(dataset: Path, threads: int, levels: bool) -> Callable[[], object]:
    """What loads every sample once."""
    from spatialdreamer_core.training.data import PairsData

    data = PairsData(str(dataset), verdicts=("train", "review", "reject"), threads=threads, levels=levels)

    def load() -> None:
        for _ in data:
            pass

    load()
    return load


def mini_step(dataset: Path, stage: Literal[1, 2], threads: int) -> Callable[[], object]:
    """A step of training ``mini`` from clips alone, with its data ready: it takes one sample."""
    import torch

    from spatialdreamer_core.training.stereo.config import TrainConfig
    from spatialdreamer_core.training.stereo.mini_recipe import MiniRecipe, with_weights

    torch.set_num_threads(threads)
    config = TrainConfig(size="mini", stage=stage, pairs=str(dataset), batch=16)
    recipe = MiniRecipe(with_weights(config, weights_provider().find))
    net, batch = recipe.network(), next(iter(recipe.batches(0, 1)))
    optimiser = torch.optim.AdamW(recipe.trainable(net), fused=True)

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16):
            loss = recipe.losses(net, batch, torch.Generator())["loss"]
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        optimiser.step()

    step()
    return step


def plan_rows(clips: int) -> list[Row]:
    """A simulated corpus: plan it, list the commits of all its shards, plan again; in a process of its own."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        took, megabytes, shards = pool.submit(simulate, clips).result()
    said = ", ".join(f"{name} {s:.1f} s" for name, s in took.items())
    total = sum(took.values())
    return [
        (f"plan and commit listing of {clips} clips in {shards} shards", f"{total:.1f} s", "< 60 s", total < 60),
        (f"  {said}", "", "", True),
        ("  peak memory", f"{megabytes:.0f} MB", "< 2000 MB", megabytes < 2000),
    ]


def simulate(clips: int) -> tuple[dict[str, float], float, int]:
    """Seconds by step, peak memory in MB, shards; writing the commit records is preparation and not counted."""
    took = {}
    with tempfile.TemporaryDirectory() as name:
        place, found = Place(name), simulated(clips)
        begin = time.monotonic()
        plan = extend_plan(place, "w", found, Closed.none, SHARD_BYTES, max_duplicate_bits=4)
        took["plan"] = time.monotonic() - begin
        shards = ShardRows(plan)
        for shard in shards.names:
            write_commit(Path(name), shard, [row["clip_id"] for row in shards.of(shard)])
        del plan, shards  # who plans again is another process
        begin = time.monotonic()
        commits, through = set(), []
        for commit in each_commit(place, "w"):
            commits.add(commit.shard)
            through.append(pa.array([sample.clip_id for sample in commit.samples]))
        took["list commits"] = time.monotonic() - begin
        begin = time.monotonic()
        closed = Closed(list(commits), pa.chunked_array(through, pa.string()))
        again = latest(extend_plan(place, "w", found, lambda: closed, SHARD_BYTES, max_duplicate_bits=4))
        took["plan again"] = time.monotonic() - begin
        begin = time.monotonic()
        left = [shard for shard in ShardRows(again).names if shard not in commits]
        took["what is left"] = time.monotonic() - begin
        del again
        assert not left, "every shard is finished"
        assert read_plan(place, "w").num_rows == found.num_rows, "nothing was planned twice"
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return took, peak, len(commits)


def simulated(clips: int) -> pa.Table:
    """Rows as looking at sources gives them: 100 clips a source, 5 a shot, some of them near-duplicates."""
    number = np.arange(clips)
    source, within = number // 100, number % 100
    draw = np.random.default_rng(0)
    looks = draw.integers(0, 2**63, (clips, 3), dtype=np.uint64)
    repeats = draw.integers(0, len(looks), len(looks) // 50)
    looks[repeats] = looks[draw.integers(0, len(looks), len(repeats))]
    ids = [f"{value:024x}" for value in draw.permutation(clips)]
    columns = {
        "clip_id": ids,
        "source_uri": np.char.add("s3://library/films/", source.astype(str)),
        "source_id": np.char.zfill(source.astype(str), 16),
        "shot": within // 5,
        "start_frame": within * 16,
        "end_frame": within * 16 + 16,
        "frame_step": np.ones(clips, np.int64),
        "start_pts": within * 8192,
        "end_pts": within * 8192 + 7680,
        "start_s": within * 0.64,
        "end_s": within * 0.64 + 0.64,
        "frames": np.full(clips, 16),
        "width": np.where(source % 4, 512, 288),
        "height": np.where(source % 4, 288, 512),
        "split": np.where(source % 20, "train", "val"),
        "upscale": np.full(clips, 0.4),
        "status": np.full(clips, "planned"),
    } | {hashed: looks[:, n] for n, hashed in enumerate(HASHES)}
    arrays = [
        pa.array(columns[field.name], field.type) if field.name in columns else pa.nulls(clips, field.type)
        for field in CLIPS_FOUND
    ]
    return pa.Table.from_arrays(arrays, schema=CLIPS_FOUND)


def write_commit(root: Path, shard: str, clips: list[str]) -> None:
    """The record of a finished shard, as pack_shard writes it, without its pains."""
    samples = tuple(Sample(clip, n * 8_000_000, 8_000_000, "0" * 64, "train") for n, clip in enumerate(clips))
    commit = ShardCommit(shard, f"shards/w/{shard}.tar", "0" * 64, 1, "train", 512, 288, 16, samples, (), "f", "r", "v")
    path = root / naming.commit_key("w", shard)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(commit.to_json())


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clips", nargs="*", type=Path, help="real clips; without any only the plan is measured")
    parser.add_argument("--planned", type=int, default=1_000_000, help="clips of the simulated corpus")
    arguments = parser.parse_args()
    show(plan_rows(arguments.planned))
    if arguments.clips:
        with tempfile.TemporaryDirectory() as name:
            show(dataset_rows(arguments.clips, Path(name)))


def dataset_rows(clips: list[Path], folder: Path) -> list[Row]:
    """Everything about real clips."""
    speed, dataset = speed_rows(clips, folder, len(os.sched_getaffinity(0)))
    rows = [*speed, *writing_rows(dataset, folder)]
    try:
        return [*rows, *loader_rows(dataset)]
    except WeightsError as error:  # what has taken minutes is shown all the same
        return [*rows, (f"loader: not measured, for {error}", "", ">= 4", False)]


def show(rows: list[Row]) -> None:
    """Print rows of (what, measured, wanted, met)."""
    for what, measured, wanted, met in rows:
        sys.stdout.write(f"{what:72s} {measured:>22s}  {wanted:10s} {'' if met else 'MISSED'}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
