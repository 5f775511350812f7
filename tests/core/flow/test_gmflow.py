import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from spatialdreamer_core.errors import WeightsError
from spatialdreamer_core.flow import gmflow
from spatialdreamer_core.flow.gmflow import GmFlow, GmFlowNet


def features(seed: int, h: int, w: int) -> torch.Tensor:
    """[1, C, h, w], every place unlike every other."""
    return 12 * F.normalize(torch.randn(1, gmflow.CHANNELS, h, w, generator=torch.Generator().manual_seed(seed)), dim=1)


def test_every_place_is_matched_with_the_place_that_it_went_to() -> None:
    first = features(0, 6, 10)
    flow = gmflow._match_all(first, first.roll((1, -2), (2, 3)))[0]
    assert torch.allclose(flow[:, :5, 2:].flatten(1).mean(1), torch.tensor([-2.0, 1.0]), atol=1e-2)


def test_near_matches_reach_four_places_and_never_leave_the_picture() -> None:
    first = features(1, 12, 16)
    flow = gmflow._match_near(first, first.roll((-3, 4), (2, 3)))[0]
    assert torch.allclose(flow[:, 3:, :12].flatten(1).mean(1), torch.tensor([4.0, -3.0]), atol=1e-2)
    blank = gmflow._match_near(torch.zeros(1, gmflow.CHANNELS, 12, 16), torch.zeros(1, gmflow.CHANNELS, 12, 16))[0]
    assert blank[:, 0, 0].tolist() == pytest.approx([2, 2]), "the mean of the places within reach that exist"


def literal_windows(x: torch.Tensor, splits: int, *, shifted: bool) -> torch.Tensor:
    """Each place against each: attended if both lie in one window and were neighbours before the roll."""
    _, h, w, c = x.shape
    tall, wide = h // splits, w // splits
    down, across = (tall // 2, wide // 2) if shifted else (0, 0)
    out = torch.zeros_like(x)

    def where(row: int, column: int) -> tuple[int, int, bool, bool]:
        rolled = (row - down) % h, (column - across) % w
        return rolled[0] // tall, rolled[1] // wide, row < down, column < across

    places = [(row, column) for row in range(h) for column in range(w)]
    for place in places:
        seen = [other for other in places if where(*other) == where(*place)]
        values = torch.stack([x[0, row, column] for row, column in seen])
        weight = F.softmax(values @ x[0, place[0], place[1]] / c**0.5, dim=0)
        out[0, place[0], place[1]] = weight @ values
    return out


@pytest.mark.parametrize("shifted", [False, True])
def test_windows_are_those_of_a_plain_loop(shifted: bool) -> None:
    x = torch.randn(1, 8, 12, gmflow.CHANNELS, generator=torch.Generator().manual_seed(2))
    found = gmflow._windowed(x, x, x, 2, shifted=shifted)
    torch.testing.assert_close(found, literal_windows(x, 2, shifted=shifted), atol=1e-5, rtol=1e-4)


def random_weights() -> dict[str, np.ndarray]:
    torch.manual_seed(0)
    return {name: value.numpy() for name, value in GmFlowNet().state_dict().items()}


def test_flow_comes_at_the_pictures_own_size_and_other_weights_are_refused() -> None:
    weights = random_weights()
    assert len(weights) == 124
    assert sum(value.size for value in weights.values()) == 4_716_720
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, 255, (2, 70, 101, 3), np.uint8)
    flow = GmFlow(weights).estimate(first, second)
    assert flow.shape == (70, 101, 2)
    assert np.isfinite(flow).all()
    with pytest.raises(ValueError, match="one size"):
        GmFlow(weights).estimate(first, second[:-1])
    del weights["upsampler.2.bias"]
    with pytest.raises(WeightsError, match="weights of another network; get gmflow"):
        GmFlow(weights)


def test_the_published_weights_find_a_known_shift() -> None:
    """Needs the weights in the cache. The published code gives the same flow to 2e-4 px."""
    from flows.weights import weights_provider

    provider = weights_provider()
    if provider.state("gmflow") == "missing":
        pytest.skip("the weights are not cached; run spatialdreamer weights get gmflow")
    made, rng = np.full((160, 288, 3), 120, np.float32), np.random.default_rng(3)
    for cell in (4, 10, 30, 90):  # coarse and fine, as pictures are
        noise = rng.normal(0, 30, (-(-160 // cell), -(-288 // cell), 3)).astype(np.float32)
        made += cv2.resize(noise, (288, 160), interpolation=cv2.INTER_LINEAR)
    wide = np.clip(made, 0, 255).astype(np.uint8)
    first, second = wide[:, 20:276], wide[:, 8:264]
    flow = GmFlow(provider.load("gmflow")).estimate(np.ascontiguousarray(first), np.ascontiguousarray(second))
    inner = flow[16:-16, 16:-32]
    assert np.abs(inner - [12, 0]).mean() < 1
