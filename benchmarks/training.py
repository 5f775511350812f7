"""What a training step takes on a device, data left out: ``python -m benchmarks.training --device cuda``.

Batches of noise lie on the device already; the steps are those of the training loop, from the forward pass to the
averaged weights, with what is recomputed to save memory. One more step is counted: its multiplications and additions,
and the bytes that its operations read and write if nothing stays in a cache. The device's own speed at both, measured
beside it, says how long either would take.
"""

import argparse
import json
import statistics
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import save_file
from torch import nn
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count

from benchmarks.svd import ATTENTION, _seconds, _Traffic, machine_speed, say
from spatialdreamer_core.models.svd.network import random_network
from spatialdreamer_core.training.data import PairsBatch
from spatialdreamer_core.training.stereo.config import DEFAULTS, Size, Stage, TrainConfig
from spatialdreamer_core.training.stereo.mini_batches import MiniBatch
from spatialdreamer_core.training.stereo.mini_recipe import MiniRecipe
from spatialdreamer_core.training.stereo.peers import Peers
from spatialdreamer_core.training.stereo.recipe import Recipe
from spatialdreamer_core.training.stereo.svd_recipe import FRAMES, SvdRecipe
from spatialdreamer_core.training.stereo.training import Training

TILE = 128
ALEX = ((64, 11), (192, 5), (384, 3), (256, 3), (256, 3))
"""Channels and filter size of the layers of LPIPS' AlexNet: only its cost is wanted."""


def _attention_backward_flops(gradient: Any, query: Any, key: Any, value: Any, *_: Any, **__: Any) -> Any:
    return sdpa_backward_flop_count(gradient, query, key, value)  # type: ignore[no-untyped-call]


COUNTED = ATTENTION | {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward_flops}


@dataclass(frozen=True, slots=True)
class Case:
    """One row of the table.

    Attributes:
        size: Which network.
        stage: Which training.
        batch: Samples of a step.
        frames: Of a sample.
        rows: Pixels; ``mini`` has tiles of its own size.
        columns: Pixels.
        average: Whether an average of the weights is kept too.
    """

    size: Size
    stage: Stage
    batch: int
    frames: int
    rows: int = TILE
    columns: int = TILE
    average: bool = True

    def config(self, lpips: Path) -> TrainConfig:
        """The settings of a training like that."""
        more = dict(DEFAULTS.get((self.size, self.stage), {}))
        data: dict[str, Any] = {"frames": self.frames}
        if self.size == "mini":
            data["lpips"] = str(lpips)
        more |= {"batch": self.batch, "ema": 0.999 if self.average else 0.0, "data": data, "pairs": "none"}
        return TrainConfig(size=self.size, stage=self.stage, **more)


class Noise:
    """The same batch of noise again and again; see ``Batches``."""

    def __init__(self, batch: Any) -> None:
        self._batch = batch

    def __iter__(self) -> Iterator[Any]:
        """Without end."""
        while True:
            yield self._batch

    def state_dict(self) -> dict[str, Any]:
        """Nothing changes."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing changes."""


def noise(case: Case, device: str) -> Any:
    """A batch on the device."""
    B, T, H, W = case.batch, case.frames, case.rows, case.columns

    def some(channels: int) -> torch.Tensor:
        return torch.rand(B, T, channels, H, W, device=device)

    if case.size == "mini":
        tiles = some(9) * 2 - 1
        weight = (some(1) < 0.1).float()
        return MiniBatch(tiles, some(3), some(3), weight, torch.full((B,), 0.01, device=device))
    keys, strength = tuple(map(str, range(B))), torch.ones(B, device=device)
    target, condition, reference = some(3), some(3), some(3)
    right = torch.ones(B, dtype=torch.bool, device=device)
    return PairsBatch(keys, target, condition, reference, some(1) < 0.1, some(1), strength, right, None)


def recipe_of(case: Case, config: TrainConfig, network: str, device: str) -> Recipe:
    """The real recipe with noise for data, and random weights made on the device."""
    batches = Noise(noise(case, device))
    if case.size == "mini":

        class _Mini(MiniRecipe):
            def batches(self, rank: int, world: int) -> Noise:
                return batches

        return _Mini(config)

    class _Svd(SvdRecipe):
        def network(self) -> nn.Module:
            with torch.device(device):
                made = random_network(network, image_encoder=False)
            made.save_memory()
            return made

        def batches(self, rank: int, world: int) -> Noise:
            return batches

    return _Svd(config)


def measure(
    case: Case, network: str, device: str, steps: int, speed: tuple[float, float], *, profiled: bool
) -> dict[str, Any]:
    """Train some steps; the figures of a row."""
    on_gpu = device != "cpu"
    if on_gpu:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    with tempfile.TemporaryDirectory() as folder:
        lpips = write_lpips(Path(folder, "lpips.safetensors"))
        config = case.config(lpips)
        training = Training(recipe_of(case, config, network, device), config, Peers(0, 1, torch.device(device)))
        first = _seconds(training.one_step, device)  # libraries choose their kernels, LPIPS is read
    taken = [_seconds(training.one_step, device) for _ in range(steps)]
    peak = torch.cuda.max_memory_allocated() if on_gpu else 0
    counter, traffic = FlopCounterMode(display=False, custom_mapping=COUNTED), _Traffic()
    with traffic, counter:
        loss = float(training.one_step()["loss"])
    flops, moved, median = float(counter.get_total_flops()), float(traffic.moved), statistics.median(taken)
    if profiled:
        profile(training)
    trained = sum(p.numel() for p in training.net.parameters() if p.requires_grad)
    return asdict(case) | {
        "trained": trained, "tflop": flops / 1e12, "gb": moved / 1e9, "by_arithmetic_s": flops / speed[0],
        "by_bytes_s": moved / speed[1], "step_s": median, "first_s": first, "quickest_s": min(taken), "steps": steps,
        "samples_s": case.batch / median, "of_the_larger": max(flops / speed[0], moved / speed[1]) / median,
        "peak_gib": peak / 2**30, "loss": loss,
    }  # fmt: skip


def profile(training: Training) -> None:
    """Print what takes the time of a step."""
    kinds = [torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA]
    with torch.profiler.profile(activities=kinds) as seen:
        training.one_step()
        torch.cuda.synchronize()
    table = seen.key_averages()
    for order in ("self_device_time_total", "self_cpu_time_total"):
        say(table.table(sort_by=order, row_limit=14, max_name_column_width=60) + "\n")


def write_lpips(path: Path) -> Path:
    """Weights of the shapes of LPIPS with AlexNet."""
    draw, arrays, inputs = np.random.default_rng(0), {}, 3
    for n, (outputs, side) in enumerate(ALEX):
        arrays[f"trunk.{n}.weight"] = draw.normal(0, 0.05, (outputs, inputs, side, side)).astype(np.float32)
        arrays[f"trunk.{n}.bias"] = np.zeros(outputs, np.float32)
        arrays[f"linear.{n}"] = np.ones(outputs, np.float32)
        inputs = outputs
    save_file(arrays, path)
    return path


def main() -> None:
    """Measure, print a table, and append a line of JSON for each row."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cuda")
    parser.add_argument("--size", choices=["mini", "svd"], default="svd")
    parser.add_argument("--network", choices=["random", "random-tiny"], default="random", help="of svd")
    parser.add_argument("--stage", type=int, choices=[1, 2], action="append", help="both unless given")
    parser.add_argument("--batch", type=int, action="append", help="samples of a step; may be given often")
    parser.add_argument("--rows", type=int, default=288)
    parser.add_argument("--columns", type=int, default=512)
    parser.add_argument("--no-average", action="store_true", help="keep no averaged weights (--ema 0)")
    parser.add_argument("--steps", type=int, default=4, help="that are timed; their median counts")
    parser.add_argument("--profile", action="store_true", help="print what takes the time of a step on a GPU")
    parser.add_argument("--output", type=Path, help="file that gets a line of JSON for each row")
    arguments = parser.parse_args()
    device: str = arguments.device
    torch.set_num_threads(1)
    speed = machine_speed(torch.bfloat16 if device == "cuda" else torch.float32, device)
    name = torch.cuda.get_device_name() if device == "cuda" else "one thread, processor time"
    say(f"{name}: matrix product {speed[0] / 1e12:.2f} TFLOP/s, copy {speed[1] / 1e9:.0f} GB/s\n")
    say("| size | stage | batch | frames | pixels | TFLOP | GB | by arithmetic s | by bytes s | a step s |")
    say(" samples/s | of the larger | peak GiB |\n" + "|---" * 13 + "|\n")
    for stage in arguments.stage or (1, 2):
        for batch in arguments.batch or ((1,) if arguments.size == "svd" else (64,)):
            if arguments.size == "svd":
                case = Case("svd", stage, batch, FRAMES[stage], arguments.rows, arguments.columns)
            else:
                frames = 1 if stage == 1 else 8  # of a batch with more frames fewer tiles are made
                case = Case("mini", stage, max(1, batch // frames), frames)
            if arguments.no_average:
                case = Case(**asdict(case) | {"average": False})
            try:
                row = measure(case, arguments.network, device, arguments.steps, speed, profiled=arguments.profile)
            except torch.OutOfMemoryError as error:
                say(f"{case}: {str(error)[:120]}\n")
                continue
            say(
                f"| {case.size} | {stage} | {case.batch} | {case.frames} | {case.columns}x{case.rows} "
                f"| {row['tflop']:.3g} | {row['gb']:.4g} | {row['by_arithmetic_s']:.3g} | {row['by_bytes_s']:.3g} "
                f"| {row['step_s']:.3g} | {row['samples_s']:.3g} | {row['of_the_larger']:.2f} "
                f"| {row['peak_gib']:.1f} |\n"
            )
            if arguments.output:
                about = {"device": name, "flops_s": speed[0], "bytes_s": speed[1], "torch": torch.__version__}
                with arguments.output.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(about | row) + "\n")


if __name__ == "__main__":
    main()
