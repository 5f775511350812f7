"""A dataset of made pairs: what verify, gc and show find in it, whole and damaged."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from spatialdreamer_core.errors import ConfigError, StoreError
from spatialdreamer_core.pairs import naming
from spatialdreamer_core.pairs.commits import ShardCommit
from spatialdreamer_core.pairs.dataset import dataset_shards, find_sample, read_sample
from spatialdreamer_core.pairs.garbage import find_orphans
from spatialdreamer_core.pairs.picture import picture_bytes, sample_picture
from spatialdreamer_core.pairs.verify import account, verify_shard
from spatialdreamer_core.store.place import Place
from tests.core.pairs.made import FRAMES, HEIGHT, WIDTH, MadeSet, made_pair


@pytest.fixture
def made(tmp_path: Path) -> MadeSet:
    """Two shards of three samples each."""
    return MadeSet.make(tmp_path, clips=6, per_shard=3)


def damaged(made: MadeSet, commit: ShardCommit, at: int) -> None:
    path = made.root / commit.file
    data = bytearray(path.read_bytes())
    data[at] ^= 0xFF
    path.write_bytes(data)


def test_a_whole_dataset_has_no_problem_and_its_accounts_add_up(made: MadeSet) -> None:
    commits = dataset_shards(made.place)
    assert [len(commit.samples) for commit in commits] == [3, 3]
    assert [problem for commit in commits for problem in verify_shard(made.place, commit)] == []
    accounts = account(made.place, made.work_key)
    assert (accounts.planned, accounts.in_shards, accounts.open, accounts.problems) == (6, 6, 0, ())


def test_one_flipped_bit_is_told_with_its_shard_and_sample(made: MadeSet) -> None:
    first, second = dataset_shards(made.place)
    damaged(made, second, second.samples[1].offset + 700)
    assert verify_shard(made.place, first) == []
    problems = verify_shard(made.place, second)
    assert {problem.where for problem in problems} == {second.file}
    assert [problem.clip_id for problem in problems] == [second.samples[1].clip_id, ""]
    assert all("digest differs" in problem.message for problem in problems)


def test_a_torn_a_lost_and_a_longer_shard_are_told(made: MadeSet) -> None:
    first, second = dataset_shards(made.place)
    path = made.root / first.file
    whole = path.read_bytes()
    path.write_bytes(whole[:-5000])
    assert verify_shard(made.place, first)
    path.write_bytes(whole + b"more")
    assert any("no end of a tar" in problem.message for problem in verify_shard(made.place, first))
    (made.root / second.file).unlink()
    assert [problem.message[:7] for problem in verify_shard(made.place, second)] == ["is gone"]


def test_a_clip_in_two_shards_or_in_the_wrong_one_is_told(made: MadeSet) -> None:
    first, second = dataset_shards(made.place)
    path = made.root / naming.commit_key(made.work_key, second.shard)
    plain = json.loads(path.read_bytes())
    plain["samples"][0][0] = first.samples[0].clip_id
    path.write_text(json.dumps(plain))
    messages = [problem.message for problem in account(made.place, made.work_key).problems]
    assert any(f"not planned for this shard but for {first.shard}" in message for message in messages)
    assert any("is in 2 finished shards" in message for message in messages)
    assert account(made.place, made.work_key).open == 1


def test_only_what_nothing_names_is_garbage(made: MadeSet) -> None:
    assert find_orphans(made.place) == []
    first = dataset_shards(made.place)[0]
    orphan = f"shards/{made.work_key}/train-96x64-g0001-000007-0123456789ab.tar"
    piece = f"{naming.pieces_folder(made.work_key, 'train-96x64-g0001-000009')}/{'a' * 24}-0123456789ab.tar"
    late = naming.clip_key(made.work_key, first.shard, "b" * 24)
    foreign = f"shards/{made.work_key}/holiday.tar"
    for key in (orphan, piece, late, foreign):
        made.place.publish(key, b"x")
    assert find_orphans(made.place) == sorted([orphan, piece, late])


def test_garbage_is_not_looked_for_in_a_layout_that_this_program_does_not_know(made: MadeSet) -> None:
    record = made.root / naming.work_file(made.work_key)
    plain = json.loads(record.read_bytes())
    record.write_text(json.dumps(plain | {"layout": 2, "code_version": "9.0"}))
    with pytest.raises(StoreError, match=r"layout 2 was written by another version \(9\.0\), this one knows 1"):
        find_orphans(made.place)
    record.write_text(json.dumps({name: value for name, value in plain.items() if name != "layout"}))
    assert find_orphans(made.place) == []  # the first layout did not say so


def test_files_of_a_work_that_no_record_tells_of_are_never_garbage(made: MadeSet) -> None:
    record = made.root / naming.work_file(made.work_key)
    whole = record.read_bytes()
    record.write_bytes(whole[:20])
    with pytest.raises(StoreError, match=r"work\.json cannot be read"):
        find_orphans(made.place)
    record.unlink()
    with pytest.raises(StoreError, match="so none is called garbage"):
        find_orphans(made.place)
    made.place.publish("shards/holidays/beach.tar", b"x")  # somebody's folder, not ours, is no reason to stop
    record.write_bytes(whole)
    assert find_orphans(made.place) == []


def test_a_sample_is_found_by_the_beginning_of_its_key_and_comes_back(made: MadeSet) -> None:
    key = made.clips[4]
    found = find_sample(made.place, key[:12])
    assert found.sample.clip_id == key
    pair = read_sample(made.place, found.commit.file, found.sample)
    assert np.array_equal(pair.target, made_pair(key, FRAMES, HEIGHT, WIDTH).target)
    with pytest.raises(ConfigError, match="6 samples begin with ''"):
        find_sample(made.place, "")
    with pytest.raises(ConfigError, match="holds no sample 'zz'"):
        find_sample(made.place, "zz")


def test_bytes_that_hold_another_sample_are_refused(made: MadeSet) -> None:
    first, second = dataset_shards(made.place)
    with pytest.raises(StoreError):
        read_sample(made.place, first.file, second.samples[1])


def test_a_sample_s_picture_shows_five_columns_and_the_asked_frames() -> None:
    pair = made_pair(frames=5)
    picture = sample_picture(pair, [1, 3])
    height, width = pair.target.shape[1:3]
    assert picture.shape == (2 * height + 36, 5 * width, 3)
    row = picture[18 : 18 + height]
    assert np.array_equal(row[:, :width], pair.target[1])
    assert np.array_equal(row[:, 2 * width : 3 * width, 0] > 0, pair.mask[1])
    assert np.array_equal(row[:, 3 * width : 4 * width], pair.reference[1])
    brightness = row[:, 4 * width :].sum(axis=2).mean(axis=0)
    assert brightness[-1] > brightness[0], "near is bright"
    read = cv2.imdecode(np.frombuffer(picture_bytes(picture, ".png"), np.uint8), cv2.IMREAD_COLOR)
    assert read.shape == picture.shape
    with pytest.raises(ValueError, match="frames 0 to 4"):
        sample_picture(pair, [5])


def test_a_place_without_pairs_says_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="give the --output of make-pairs"):
        dataset_shards(Place(str(tmp_path)))
