"""The ONNX graphs of a mini network give what torch gives."""

import numpy as np
import onnxruntime
import torch

from spatialdreamer_core.models.mini.config import PAINTED, MiniConfig
from spatialdreamer_core.models.mini.net import Look, MiniNet, Shared
from spatialdreamer_core.refine.last_layers import finish
from spatialdreamer_core.training.stereo.mini_onnx import LOOK, PAINT, export_mini


def test_both_graphs_agree_with_torch_within_a_grey_level(tmp_path) -> None:  # type: ignore[no-untyped-def]
    torch.manual_seed(0)
    net = MiniNet(MiniConfig(widths=(16, 32, 32), heads=2, embedding=8, offsets=(-1, 1))).eval()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_((parameter + 0.05 * torch.randn_like(parameter)).half().float())
    export_mini(net, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [LOOK, PAINT]

    draw = torch.Generator().manual_seed(1)
    tile = torch.rand(1, 9, 128, 128, generator=draw)
    tile[:, 6] = (tile[:, 6, :, :] < 0.3).float()
    reference = torch.rand(1, 3, 128, 128, generator=draw)
    with torch.no_grad():
        look = net.look(tile, reference)
        others = Shared(*(torch.stack([told, told * 0.5], 1) for told in net.share(look)))
        wanted = net.paint(tile, look, torch.tensor([0.03]), others)
    looked = onnxruntime.InferenceSession(str(tmp_path / LOOK)).run(
        None, {"tile": tile.numpy(), "reference": reference.numpy()}
    )
    inputs = dict(zip(Look._fields, looked[:5], strict=True)) | {
        "strength": np.array([0.03], np.float32),
    } | {f"others_{name}": told.numpy() for name, told in others._asdict().items()}  # fmt: skip
    graph = onnxruntime.InferenceSession(str(tmp_path / PAINT))
    painted = dict(zip([one.name for one in graph.get_outputs()], graph.run(None, inputs), strict=True))
    assert list(painted) == list(PAINTED)
    made, hole = finish(tile.numpy(), painted), tile[0, 6].numpy() > 0
    assert 0.1 < hole.mean() < 0.9
    assert np.abs(made - wanted[0].numpy())[:, hole].max() < 1 / 255
    assert not made[:, ~hole].any()
    first = (tmp_path / PAINT).read_bytes()
    export_mini(net, tmp_path)
    assert (tmp_path / PAINT).read_bytes() == first
