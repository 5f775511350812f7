import json
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from spatialdreamer_core.errors import ConfigError, StoreError  # noqa: E402
from spatialdreamer_core.training.data import PairsBatch, PairsData, collate  # noqa: E402
from tests.core.pairs.made import FRAMES, HEIGHT, WIDTH, MadeSet, made_pair  # noqa: E402


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> MadeSet:
    """Twelve samples in four shards; some are only to be reviewed."""
    return MadeSet.make(tmp_path_factory.mktemp("pairs"), clips=12, per_shard=3)


ALL = ("train", "review")


def keys(batches: list[PairsBatch]) -> list[tuple[str, ...]]:
    return [batch.keys for batch in batches]


def test_tensors_have_the_documented_shapes_types_and_values(made: MadeSet) -> None:
    batch = next(iter(PairsData(str(made.root), batch=2, verdicts=ALL)))
    for name in ("target", "condition", "reference"):
        tensor = getattr(batch, name)
        assert (tensor.shape, tensor.dtype) == ((2, FRAMES, 3, HEIGHT, WIDTH), torch.float32)
        assert 0 <= tensor.min() < tensor.max() <= 1
    assert (batch.mask.shape, batch.mask.dtype) == ((2, FRAMES, 1, HEIGHT, WIDTH), torch.bool)
    assert (batch.disparity.shape, batch.disparity.dtype) == ((2, FRAMES, 1, HEIGHT, WIDTH), torch.float32)
    pair = made_pair(batch.keys[1], FRAMES, HEIGHT, WIDTH)
    assert np.array_equal(np.round(batch.target[1, 2].permute(1, 2, 0).numpy() * 255), pair.target[2])
    assert np.array_equal(batch.mask[1, :, 0].numpy(), pair.mask)
    assert batch.condition.masked_select(batch.mask.expand_as(batch.condition)).abs().max() == 0
    assert batch.deviation_strength.tolist() == [0.25, 0.25]
    assert batch.flow is None


def test_levels_are_the_pictures_as_they_are_stored_and_floats_are_exactly_their_255th(made: MadeSet) -> None:
    floats, levels = (next(iter(PairsData(str(made.root), batch=2, verdicts=ALL, levels=x))) for x in (False, True))
    assert floats.keys == levels.keys
    for name in ("target", "condition", "reference"):
        stored = getattr(levels, name)
        assert (stored.shape, stored.dtype) == ((2, FRAMES, 3, HEIGHT, WIDTH), torch.uint8)
        assert torch.equal(stored.to(torch.float32) / 255, getattr(floats, name))
    assert torch.equal(floats.mask, levels.mask)
    assert torch.equal(floats.disparity, levels.disparity)
    pair = made_pair(levels.keys[1], FRAMES, HEIGHT, WIDTH)
    assert np.array_equal(levels.reference[1].permute(0, 2, 3, 1).numpy(), pair.reference)


def test_an_epoch_has_every_sample_once_in_another_order_than_the_next(made: MadeSet) -> None:
    data = PairsData(str(made.root), verdicts=ALL, threads=3)
    first, second = keys(list(data)), keys(list(data))
    assert len(first) == len(data) == 12
    assert {key for (key,) in first} == set(made.clips) == {key for (key,) in second}
    assert first != second
    assert keys(list(PairsData(str(made.root), verdicts=ALL))) == first, "seed and epoch decide"
    assert keys(list(PairsData(str(made.root), verdicts=ALL, seed=1))) != first


def test_only_the_asked_verdicts_and_split_are_given(made: MadeSet, tmp_path: Path) -> None:
    train, review = (keys(list(PairsData(str(made.root), verdicts=(one,)))) for one in ALL)
    assert train
    assert review
    assert len(train) + len(review) == 12
    with pytest.raises(ConfigError, match="no sample of 'val'"):
        PairsData(str(made.root), split="val")
    mixed = MadeSet.make(tmp_path, clips=6, per_shard=6, val_share=0.5)
    parts = [PairsData(str(mixed.root), split=split, verdicts=ALL) for split in ("train", "val")]
    assert [len(part) for part in parts] == [3, 3]


def test_ranks_and_workers_share_an_epoch_without_overlap(made: MadeSet) -> None:
    whole = keys(list(PairsData(str(made.root), verdicts=ALL)))
    ranks = [keys(list(PairsData(str(made.root), verdicts=ALL, rank=r, world=5))) for r in range(5)]
    assert [len(part) for part in ranks] == [2] * 5, "every rank gets equally many"
    assert [ranks[n % 5][n // 5] for n in range(10)] == whole[:10]


def test_a_dataloader_with_processes_gives_the_same_order(made: MadeSet) -> None:
    whole = keys(list(PairsData(str(made.root), verdicts=ALL)))
    data = PairsData(str(made.root), verdicts=ALL, threads=1)
    loader = torch.utils.data.DataLoader(data, batch_size=None, num_workers=2, multiprocessing_context="fork")
    assert keys(list(loader)) == whole


@pytest.mark.parametrize("at", [0, 1, 5, 6])
def test_an_epoch_goes_on_exactly_where_a_state_was_taken(made: MadeSet, at: int) -> None:
    data = PairsData(str(made.root), batch=2, verdicts=ALL, seed=4)
    whole = keys(list(data)) + keys(list(data))
    data = PairsData(str(made.root), batch=2, verdicts=ALL, seed=4)
    had = keys(list(islice(data, at)))
    state = json.loads(json.dumps(data.state_dict()))
    again = PairsData(str(made.root), batch=2, verdicts=ALL, seed=4)
    again.load_state_dict(state)
    rest = keys(list(again))
    rest += keys(list(again)) if len(had) + len(rest) < 12 else []
    assert had + rest == whole


def test_two_ranks_go_on_where_three_stopped(made: MadeSet) -> None:
    whole = keys(list(PairsData(str(made.root), verdicts=ALL)))
    state = PairsData(str(made.root), verdicts=ALL, rank=1, world=3).state_dict(batches=2)
    rest = []
    for rank in range(2):
        data = PairsData(str(made.root), verdicts=ALL, rank=rank, world=2)
        data.load_state_dict(state)
        rest.append(keys(list(data)))
    assert [rest[n % 2][n // 2] for n in range(6)] == whole[6:]


def test_a_state_holds_to_its_shards_while_the_dataset_grows(tmp_path: Path) -> None:
    made = MadeSet.make(tmp_path, clips=4, per_shard=2)
    data = PairsData(str(made.root), verdicts=ALL)
    first = [next(iter(data)).keys]
    state = data.state_dict()
    MadeSet.make(tmp_path, clips=8, per_shard=2)
    again = PairsData(str(made.root), verdicts=ALL)
    again.load_state_dict(state)
    rest = keys(list(again))
    assert {key for (key,) in first + rest} == set(made.clips)
    assert len(list(again)) == 8, "new shards join with the next epoch"
    gone = state | {"shards": [*state["shards"], "shards/work/none.tar"]}
    with pytest.raises(ConfigError, match="are gone"):
        again.load_state_dict(gone)
    with pytest.raises(ConfigError, match="seed"):
        PairsData(str(made.root), verdicts=ALL, seed=3).load_state_dict(state)


def test_a_damaged_sample_is_told_and_not_given(tmp_path: Path) -> None:
    made = MadeSet.make(tmp_path, clips=2, per_shard=2)
    shard = next(tmp_path.glob("shards/*/*.tar"))
    shard.write_bytes(shard.read_bytes()[:-9000])
    with pytest.raises(StoreError):
        list(PairsData(str(made.root), verdicts=ALL))


def test_flow_is_stacked_where_every_sample_has_it() -> None:
    pairs = [made_pair(f"k{n}", flow=True) for n in range(2)]
    batch = collate(pairs)
    assert batch.flow is not None
    assert batch.flow.shape == (2, 2, 2, 24, 40)
    assert batch.flow[1, 0, 1, 3, 5] == float(pairs[1].flow[0, 3, 5, 1])  # type: ignore[index]
    assert collate([pairs[0], made_pair("k2")]).flow is None


def test_a_sample_of_another_size_than_its_shard_says_is_refused(made: MadeSet) -> None:
    data = PairsData(str(made.root), verdicts=ALL)
    data._commits = [replace(commit, height=commit.height + 2) for commit in data._commits]
    with pytest.raises(StoreError, match=rf"rows, columns \[{FRAMES}, {HEIGHT}, {WIDTH}\], its shard's record says"):
        next(iter(data))
