"""``python -m benchmarks.faults``: kill -9 racing writers of one dataset at random, then account for every sample.

The samples are of noise, so that publishing, packing and committing are nearly all the work and most kills hit them;
plan, pool, driver, worker protocol and store are those of make-pairs. Two writers on one folder are what its lock
prevents; here it is left out, as on remote storage.
"""

import argparse
import json
import multiprocessing
import os
import signal
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from spatialdreamer_core.convert.clock import StageClock
from spatialdreamer_core.dvg.config import FilterConfig, PairsConfig
from spatialdreamer_core.dvg.sample import PairSample
from spatialdreamer_core.pairs.commits import read_commits
from spatialdreamer_core.pairs.garbage import find_orphans
from spatialdreamer_core.pairs.make_clip import KEPT, publish_clip
from spatialdreamer_core.pairs.members import to_members
from spatialdreamer_core.pairs.pack import pack_shard
from spatialdreamer_core.pairs.plan import BYTES_PER_PIXEL, CLIPS_FOUND, clip_id
from spatialdreamer_core.pairs.verify import account, verify_shard
from spatialdreamer_core.store.place import Place
from spatialdreamer_core.store.tar import piece_bytes
from tasks.executors import InProcessExecutor
from tasks.pairs_library import PairsLibrary
from tasks.pairs_worker import Work

WORK_KEY = "faults"
FRAMES, HEIGHT, WIDTH = 2, 64, 64


@dataclass(frozen=True)
class Found:
    """What is left when the writers are through.

    Attributes:
        planned: Clips of the plan.
        lost: Of those, in no shard.
        twice: In more than one place.
        wrong: Problems that verifying every byte and picture finds.
        shards: Finished.
        made: Clips that writers made, over all of them.
        kills: Writers killed while they worked.
        orphans: Files that nothing names: what gc removes.
        seconds: How long it took.
    """

    planned: int
    lost: int
    twice: int
    wrong: int
    shards: int
    made: int
    kills: int
    orphans: int
    seconds: float


class NoiseWorker:
    """A worker of make-pairs whose sources and pairs are noise; publishes and packs like the real one."""

    def __init__(self, folder: str, clips_per_source: int) -> None:
        self._place, self._log, self._clips = Place(folder), Path(folder, f"made-{os.getpid()}"), clips_per_source

    def ready(self) -> None:
        """Nothing to load."""

    def run(self, kind: str, payload: Any) -> Any:
        """Do one job of make-pairs."""
        match kind:
            case "work":
                return Work(WORK_KEY, "noise")
            case "look":
                return self._look(payload)
            case "clip":
                return self._clip(payload.planned)
            case _:
                return pack_shard(payload, self._place, run_id="faults")

    def _look(self, uri: str) -> pa.Table:
        rows = [
            {"clip_id": clip_id(uri, n, n, 1), "source_uri": uri, "source_id": uri, "shot": n, "start_frame": 0,
             "end_frame": FRAMES, "frame_step": 1, "start_pts": n, "frames": FRAMES, "width": WIDTH, "height": HEIGHT,
             "split": "train", "depth_digest": "", "hash_first": n, "hash_middle": n, "hash_last": n,
             "status": "planned"}
            for n in range(self._clips)
        ]  # fmt: skip
        return pa.Table.from_pylist(rows, schema=CLIPS_FOUND)

    def _clip(self, planned: dict[str, Any]) -> Any:
        with self._log.open("a") as log:
            log.write(f"{planned['clip_id']}\n")
        data = piece_bytes(planned["clip_id"], to_members(noise(planned["clip_id"]), {}))
        row = {name: planned[name] for name in KEPT} | {"work_key": WORK_KEY, "status": "done", "verdict": "train"}
        return publish_clip(data, row, self._place, StageClock())


def noise(key: str) -> PairSample:
    """The pair of this name: the same for every writer."""
    draw = np.random.default_rng(int(key, 16))
    pictures = draw.integers(0, 256, (3, FRAMES, HEIGHT, WIDTH, 3), np.uint8)
    mask = np.zeros((FRAMES, HEIGHT, WIDTH), bool)
    disparity = draw.normal(0, 5, mask.shape).astype(np.float32)
    return PairSample(key, pictures[0], pictures[1], pictures[2], mask, disparity, None, {"deviation_strength": 0.0})


def write(folder: str, shards: int, clips_per_shard: int) -> None:
    """One writer: the driver of make-pairs from plan to manifest rows, until nothing is left to do."""
    shard_bytes = clips_per_shard * FRAMES * HEIGHT * WIDTH * BYTES_PER_PIXEL
    config = PairsConfig(filters=FilterConfig(max_duplicate_bits=-1))  # noise has no looks
    library = PairsLibrary(config, Place(folder), [f"noise {n}" for n in range(shards)], "faults", shard_bytes)
    library.run(InProcessExecutor(lambda: NoiseWorker(folder, clips_per_shard)), started=time.monotonic())


def torment(folder: Path, *, shards: int, clips: int, kills: int, writers: int, seed: int = 0) -> Found:
    """Run writers on one folder, kill and restart them at random, let them finish, account for everything.

    Args:
        folder: An empty folder.
        shards: Shards to be made.
        clips: Samples in each.
        kills: How many SIGKILLs, spread over the work.
        writers: Processes that write at once.
        seed: Of the times and victims.
    """
    draw, context = np.random.default_rng(seed), multiprocessing.get_context("fork")
    begin = time.monotonic()

    def start() -> Any:
        process = context.Process(target=write, args=(str(folder), shards, clips))
        process.start()
        return process

    running, done = [start() for _ in range(writers)], 0
    for number in range(kills):
        wait_for(folder, (number + draw.random()) * shards * clips / (kills + 1), running)
        time.sleep(draw.random() * 0.15)  # some clips: anywhere in making, publishing, packing
        alive = [process for process in running if process.is_alive()]
        if not alive:
            break
        victim = alive[int(draw.integers(len(alive)))]
        os.kill(victim.pid, signal.SIGKILL)
        victim.join()
        done += 1
        running.remove(victim)
        running.append(start())
    for process in running:
        process.join()
        assert process.exitcode == 0, f"a writer ended with {process.exitcode}"
    return accounts(folder, shards * clips, done, time.monotonic() - begin)


def wait_for(folder: Path, clips: float, running: list[Any]) -> None:
    """Wait until so many clips have been begun, so that kills are spread over the work and not over the clock."""
    while any(process.is_alive() for process in running) and len(made(folder)) < clips:
        time.sleep(0.002)


def made(folder: Path) -> set[str]:
    """Clips that any writer has begun."""
    return {line for log in folder.glob("made-*") for line in log.read_text().splitlines()}


def accounts(folder: Path, planned: int, kills: int, seconds: float) -> Found:
    """Say what became of every clip."""
    place = Place(str(folder))
    where = account(place, WORK_KEY)
    commits = list(read_commits(place, WORK_KEY).values())
    held = [sample.clip_id for commit in commits for sample in commit.samples]
    problems = [problem for commit in commits for problem in verify_shard(place, commit)]
    begun = sum(len(log.read_text().splitlines()) for log in folder.glob("made-*"))
    return Found(
        planned=where.planned,
        lost=planned - len(set(held)),
        twice=len(held) - len(set(held)),
        wrong=len(problems) + len(where.problems),
        shards=len(commits),
        made=begun,
        kills=kills,
        orphans=len(find_orphans(place)),
        seconds=seconds,
    )


def main() -> None:
    """Torment two racing writers, then one alone, and print what is left."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shards", type=int, default=30)
    parser.add_argument("--clips", type=int, default=8, help="samples in a shard")
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    bad = False
    for writers in (2, 1):
        with tempfile.TemporaryDirectory() as folder:
            found = torment(
                Path(folder),
                shards=arguments.shards,
                clips=arguments.clips,
                kills=arguments.kills,
                writers=writers,
                seed=arguments.seed,
            )
        bad |= bool(found.lost or found.twice or found.wrong)
        redone = (found.made - found.planned) / max(found.kills, 1)
        if arguments.json:
            sys.stdout.write(json.dumps({"writers": writers} | vars(found)) + "\n")
            continue
        sys.stdout.write(
            f"{writers} writers, {found.kills} kills, {found.shards} shards: {found.planned} samples planned, "
            f"{found.lost} lost, {found.twice} twice, {found.wrong} wrong; {found.orphans} orphans, "
            f"{found.made} made"
            + (f", {redone:.2f} redone per kill" if writers == 1 else " (racing writers repeat each other)")
            + f", {found.seconds:.1f} s\n"
        )
    sys.exit(bad)


if __name__ == "__main__":
    main()
