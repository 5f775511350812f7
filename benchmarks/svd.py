"""What the full-size network takes: ``python -m benchmarks.svd``; random weights, real shapes.

Every part is counted twice before it is timed: its multiplications and additions, and the bytes that its operations
read and write if nothing stays in a cache. The machine's own speed at both, measured beside it, says how long either
would take; the counting runs on shapes alone, so it is also done for a window that this machine could not make. On a
CPU one thread, processor time, so other load on the machine counts little; on a GPU (``--device cuda``) wall time to
its end, and a whole window as convert makes it.
"""

import argparse
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from spatialdreamer_core.models.svd.conditioning import time_ids
from spatialdreamer_core.models.svd.injection import Features, Interaction
from spatialdreamer_core.models.svd.memory import memory_need
from spatialdreamer_core.models.svd.network import SvdNetwork, random_network
from spatialdreamer_core.models.svd.sampler import SamplerConfig, denoise, see
from spatialdreamer_core.models.svd.unet import Condition

STEPS = SamplerConfig().steps
PARTS = ("encode a frame pair", "look at the reference", "one step of the U-Net", "decode a frame")


def _attention_flops(query: Any, key: Any, value: Any, *_: Any, **__: Any) -> Any:
    return sdpa_flop_count(query, key, value)  # type: ignore[no-untyped-call]


ATTENTION = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention_flops}
"""What the counter does not know by itself: by shapes."""


@dataclass(frozen=True, slots=True)
class Work:
    """What one part takes.

    Attributes:
        flops: Multiplications and additions.
        moved: Bytes read and written, every operation for itself.
    """

    flops: float
    moved: float


class _Traffic(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes that operations read and write; views cost nothing."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.moved = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation and count it."""
        out = func(*args, **(kwargs or {}))
        if not func.is_view:
            tensors = [x for x in torch.utils._pytree.tree_leaves((args, kwargs, out)) if isinstance(x, Tensor)]
            self.moved += sum(x.numel() * x.element_size() for x in tensors)
        return out


def parts(network: SvdNetwork, frames: int, rows: int, columns: int) -> dict[str, Callable[[], Any]]:
    """The parts of making a window of ``frames``, each a function; they hand their results on."""
    device, dtype = network.no_image.device, network.dtype
    h, w = rows // network.sizes.latent_step, columns // network.sizes.latent_step

    def some(*shape: int) -> Tensor:
        return torch.rand(shape, device=device).to(dtype)

    embedding = some(1, 1, int(network.sizes.unet["cross_attention_dim"]))
    latents, mask = some(1, frames, 4, h, w), torch.ones(1, frames, 1, h, w, device=device, dtype=dtype)
    told = Condition(latents, mask, embedding, time_ids(1, device), torch.ones(1, device=device))
    partners = tuple(tuple(t for t in (n - 1, n + 1) if 0 <= t < frames) for n in range(frames))
    features: list[Features] = []
    return {
        PARTS[0]: lambda: network.encode(some(1, 2, 3, rows, columns)),
        PARTS[1]: lambda: features.append(network.reference(latents, embedding, Interaction(0.7, partners))),
        PARTS[2]: lambda: network.unet(latents, torch.ones(1, device=device), told, features[-1]),
        PARTS[3]: lambda: network.decode(some(1, 4, h, w)),
    }


@torch.no_grad()
def count(frames: int, rows: int, columns: int, dtype: torch.dtype) -> dict[str, Work]:
    """Count on shapes alone."""
    found = {}
    with FakeTensorMode():  # has the shapes of tensors on a CPU, whose attention never holds its scores
        network = random_network("random", dtype=dtype, image_encoder=False)
        for name, part in parts(network, frames, rows, columns).items():
            counter, traffic = FlopCounterMode(display=False, custom_mapping=ATTENTION), _Traffic()
            with traffic, counter:
                part()
            found[name] = Work(float(counter.get_total_flops()), float(traffic.moved))
    return found


def machine_speed(dtype: torch.dtype, device: str) -> tuple[float, float]:
    """(FLOP/s of a large matrix product, bytes/s of a large copy, both ways) of this device, the best of several."""
    side, length = (2048, 1 << 26) if device == "cpu" else (8192, 1 << 30)
    a, b = (torch.rand(side, side, device=device).to(dtype) for _ in range(2))
    source, target = torch.rand(length, device=device), torch.empty(length, device=device)
    product = min(_seconds(lambda: a @ b, device) for _ in range(8))
    copy = min(_seconds(lambda: target.copy_(source), device) for _ in range(8))
    return 2 * side**3 / product, 2 * source.numel() * 4 / copy


def _seconds(work: Callable[[], Any], device: str) -> float:
    if device == "cpu":
        start = time.thread_time()
        work()
        return time.thread_time() - start
    torch.cuda.synchronize()
    start = time.perf_counter()
    work()
    torch.cuda.synchronize()
    return time.perf_counter() - start


@torch.no_grad()
def whole_window(network: SvdNetwork, frames: int, rows: int, columns: int, steps: int) -> None:
    """Make one window from pictures to pictures: encode both views, all steps, decode frame by frame."""
    device = network.no_image.device
    rendered, reference = torch.rand(2, 1, frames, 3, rows, columns, device=device).to(network.dtype)
    mask = torch.zeros(1, frames, 1, rows, columns, device=device, dtype=torch.bool)
    mask[..., columns // 2 : columns // 2 + 24] = True
    seen = see(network, rendered, mask, reference)
    partners = tuple(tuple(t for t in (n - 1, n + 1) if 0 <= t < frames) for n in range(frames))
    embedding = torch.zeros(1, 1, int(network.sizes.unet["cross_attention_dim"]), device=device, dtype=network.dtype)
    noise, strength = torch.randn(seen.rendered.shape, device=device), torch.ones(1, device=device)
    config = SamplerConfig(steps=steps)
    latents = denoise(network, seen, noise, embedding, strength, config, Interaction(0.7, partners))
    for frame in range(frames):
        network.decode(latents[0, frame : frame + 1].to(network.dtype))


def main() -> None:
    """Count, time and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=2)
    parser.add_argument("--rows", type=int, default=256)
    parser.add_argument("--columns", type=int, default=448)
    parser.add_argument("--steps", type=int, default=1, help="of the U-Net that are timed; the quickest counts")
    parser.add_argument("--dtype", choices=["bfloat16", "float32"], default="bfloat16")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--count-only", action="store_true", help="no weights, no timing")
    arguments = parser.parse_args()
    dtype: torch.dtype = getattr(torch, arguments.dtype)
    size = arguments.frames, arguments.rows, arguments.columns
    work = count(*size, dtype)
    if arguments.count_only:
        for name, one in work.items():
            say(f"{name}: {one.flops / 1e12:.2f} TFLOP, {one.moved / 1e9:.1f} GB\n")
        return
    device = arguments.device
    torch.set_num_threads(1)
    flops_s, bytes_s = machine_speed(dtype, device)
    where = "one thread" if device == "cpu" else torch.cuda.get_device_name(device)
    say(f"matrix product {flops_s / 1e9:.0f} GFLOP/s, copy {bytes_s / 1e9:.1f} GB/s, {where}\n")
    began = time.monotonic()
    with torch.device(device):
        network = random_network("random", dtype=dtype, image_encoder=False)
    need = memory_need(
        network, frames=size[0], reference_frames=size[0], rows=size[1], columns=size[2], decode_at_once=1
    )
    if device != "cpu":
        torch.cuda.reset_peak_memory_stats()  # of what the device's speed was measured with
    loaded = _peak_bytes(device)
    say(f"weights {need.weights / 2**30:.2f} GiB made in {time.monotonic() - began:.0f} s\n")
    say("| part | TFLOP | GB | by arithmetic s | by bytes s | taken s | of the larger | peak so far GiB |\n")
    say("|---|---|---|---|---|---|---|---|\n")
    with torch.no_grad():
        for name, part in parts(network, *size).items():
            if device != "cpu":
                part()  # libraries choose their kernels now
            taken = min(_seconds(part, device) for _ in range(arguments.steps if name == PARTS[2] else 1))
            one = work[name]
            by_flops, by_bytes = one.flops / flops_s, one.moved / bytes_s
            cells = [f"{one.flops / 1e12:.2f}", f"{one.moved / 1e9:.1f}", f"{by_flops:.3g}", f"{by_bytes:.3g}"]
            peak = (_peak_bytes(device) - loaded) / 2**30
            say(
                f"| {name} | {' | '.join(cells)} | {taken:.3g} | {max(by_flops, by_bytes) / taken:.2f} | {peak:.2f} |\n"
            )
    say(f"memory told before: {need.window / 2**30:.2f} GiB\n")
    if device != "cpu":
        torch.cuda.reset_peak_memory_stats()
        taken = min(_seconds(lambda: whole_window(network, *size, STEPS), device) for _ in range(2))
        peak = (torch.cuda.max_memory_allocated() - loaded) / 2**30
        say(f"whole window, {size[0]} frames {size[2]}x{size[1]}, {STEPS} steps: {taken:.2f} s, peak {peak:.2f} GiB\n")


def _peak_bytes(device: str) -> int:
    if device != "cpu":
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def say(text: str) -> None:
    """Print at once."""
    sys.stdout.write(text)
    sys.stdout.flush()


if __name__ == "__main__":
    main()
