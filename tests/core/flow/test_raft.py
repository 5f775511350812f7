import numpy as np
import pytest
import torch

from spatialdreamer_core.errors import ConfigError, WeightsError
from spatialdreamer_core.evaluate.config import EvaluateConfig
from spatialdreamer_core.flow.learned import create_learned_flow
from spatialdreamer_core.torchvision_shim import ensure_torchvision

ensure_torchvision()
from torchvision.models.optical_flow import raft_small  # noqa: E402


def random_raft() -> tuple[torch.nn.Module, dict[str, np.ndarray]]:
    torch.manual_seed(0)
    net = raft_small(weights=None).eval()
    return net, {name: value.numpy() for name, value in net.state_dict().items()}


def test_raft_gives_what_torchvisions_network_gives_and_fits_any_size() -> None:
    net, weights = random_raft()
    first, second = np.random.default_rng(0).integers(0, 255, (2, 128, 136, 3), np.uint8)
    ours = create_learned_flow("raft-small", weights)
    pictures = [torch.tensor(p).permute(2, 0, 1)[None].float() / 127.5 - 1 for p in (first, second)]
    with torch.inference_mode():
        theirs = net(*pictures, num_flow_updates=12)[-1][0].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(ours.estimate(first, second), theirs, atol=1e-4)
    assert ours.estimate(first[:61, :77], second[:61, :77]).shape == (61, 77, 2)


def test_weights_of_another_network_and_unknown_names_are_refused() -> None:
    _, weights = random_raft()
    with pytest.raises(WeightsError, match="weights of another network; get raft-large"):
        create_learned_flow("raft-large", weights)
    with pytest.raises(ConfigError, match="no optical flow is called 'raft'; choose dis-ultrafast"):
        EvaluateConfig(flow="raft")
