"""What convert paints is what the trained network says of the same clip."""

from pathlib import Path

import numpy as np
import torch

from spatialdreamer_core.models.mini.config import MiniConfig
from spatialdreamer_core.models.mini.net import MiniNet
from spatialdreamer_core.models.mini.weights import save_mini
from spatialdreamer_core.refine.mini import MiniRefiner
from spatialdreamer_core.refine.protocol import RefineShot
from spatialdreamer_core.refine.tile_inputs import tile_cutter
from spatialdreamer_core.training.stereo.mini_onnx import export_mini
from tests.core.geometry.world import World
from tests.core.refine.made import COLOUR, refine_frame

FRAMES = 4


def test_the_stream_paints_what_torch_makes_of_the_clip(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = MiniNet(MiniConfig(widths=(8, 16, 16), heads=2, embedding=8, offsets=(-2, -1, 1))).eval()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_((parameter + 0.1 * torch.randn_like(parameter)).half().float())
    save_mini(net, tmp_path)
    export_mini(net, tmp_path)
    world = World(height=128, width=128, board=(40, 80), speed=3)
    frames = [refine_frame(world, t) for t in range(FRAMES)]
    cut = [tile_cutter(frame, COLOUR).tile(0, 0) for frame in frames]
    tiles, references = (torch.from_numpy(np.concatenate(part)[None]) for part in zip(*cut, strict=True))
    with torch.no_grad():
        wanted = net(tiles, references, torch.tensor([0.02]))[0].numpy()

    stream = MiniRefiner(tmp_path).open(
        RefineShot(FRAMES, 128, 128, frames[0].right.format, COLOUR, 2.0, 0.5, 0.02), 0, FRAMES
    )
    painted = [done for frame in frames for done in stream.push(frame)]
    assert [done.index for done in painted] == list(range(FRAMES))
    for done in painted:
        (patch,) = done.patches
        hole = np.isnan(frames[done.index].source_x)
        assert np.abs(patch.rgb - wanted[done.index])[:, hole].max() < 1 / 255
    assert np.abs(wanted[1] - wanted[2]).max() > 0.1
