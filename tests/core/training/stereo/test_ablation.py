"""The ablation's table and verdicts, and that convert's refiner runs every network of it."""

from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("onnx")

from benchmarks.ablation import CLIPS, STILLS, Variant, orders, table
from spatialdreamer_core.models.mini.config import mini_config
from spatialdreamer_core.models.mini.net import MiniNet
from spatialdreamer_core.models.mini.weights import save_mini
from spatialdreamer_core.refine.mini import MiniRefiner
from spatialdreamer_core.training.stereo.mini_onnx import export_mini


@pytest.mark.parametrize("variant", [*STILLS[:3], CLIPS[0]], ids=lambda one: one.key)
def test_the_refiner_runs_every_network_of_the_ablation(variant: Variant, tmp_path: Path) -> None:
    net = MiniNet(mini_config({"widths": [8, 8, 8]} | variant.switches))
    save_mini(net, tmp_path)
    export_mini(net, tmp_path)
    refiner = MiniRefiner(tmp_path)
    asked = set(refiner.paint.inputs)
    assert ("strength" in asked) == net.config.strength
    assert ("reference_coarse" in asked) == (net.config.reference == "refiner")


def test_a_row_that_is_no_better_than_the_one_before_is_named() -> None:
    psnr, lpips = (20.0, 21.0, 20.5, 22.0), (0.4, 0.3, 0.2, 0.1)
    means = {one.name: {"psnr": psnr[n], "lpips_alex": lpips[n]} for n, one in enumerate(STILLS)}
    assert orders(means, STILLS) == [
        "PSNR: + RefinerNet is not better than + reference as channels",
        "LPIPS: in the order of the paper",
    ]
    lines = table(means, STILLS).splitlines()
    assert lines[0] == "| network | PSNR | LPIPS | paper |"
    assert lines[4] == "| + RefinerNet | 20.50 | 0.2000 | 30.2 / 0.895 / 0.043 |"
