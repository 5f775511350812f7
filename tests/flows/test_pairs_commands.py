"""The commands of make-pairs as people give them: make, look, prove, tidy up."""

import json
from pathlib import Path

import cv2
import pytest
import yaml
from typer.testing import CliRunner, Result

from flows.cli import app
from tests.flows.pairs_corpus import Corpus


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    films = tmp_path / "films"
    films.mkdir()
    corpus = Corpus(films, tmp_path / "out")
    corpus.add_film("pan.mkv", clips=6, seed=1)
    return corpus


def run(*words: str) -> Result:
    return CliRunner().invoke(app, list(words))


def make(corpus: Corpus, *words: str) -> Result:
    settings = corpus.films.parent / "settings.yaml"
    settings.write_text(yaml.safe_dump(corpus.settings()))
    return run("make-pairs", "--config", str(settings), *words)


def test_make_verify_show_and_gc_of_a_small_corpus(corpus: Corpus, tmp_path: Path) -> None:
    made = make(corpus)
    assert made.exit_code == 0, made.output
    assert "6 pairs in 2 shards, 0 clips filtered out, 0 failed, of 1 sources" in made.output
    assert b"pan.mkv" in (corpus.output / "report.html").read_bytes()
    proved = run("verify", str(corpus.output), "--workers", "1")
    assert proved.exit_code == 0, proved.output
    assert "2 shards, 6 samples, 0 problems" in proved.output
    key = corpus.rows()[0]["clip_id"]
    shown = run("pairs", "show", str(corpus.output), key[:10], "--picture", str(tmp_path / "a.png"), "--frame", "2")
    assert shown.exit_code == 0, shown.output
    assert cv2.imread(str(tmp_path / "a.png")).shape == (64 + 36, 5 * 96, 3)
    folder = (corpus.output / corpus.rows()[0]["file"]).parent
    orphan = folder / "train-96x64-g0001-000007-0123456789ab.tar"
    orphan.write_bytes(b"x" * 1000)
    assert "1 orphans" in run("gc", str(corpus.output), "--dry-run").output
    assert orphan.exists()
    assert "1 orphans" in run("gc", str(corpus.output)).output
    assert not orphan.exists()
    assert run("verify", str(corpus.output), "--workers", "1", "--no-decode").exit_code == 0
    folder.rename(folder.with_name("unheard-of"))
    refused = run("gc", str(corpus.output))
    assert (refused.exit_code, "none is called garbage" in " ".join(refused.output.split())) == (1, True)


def test_a_damaged_dataset_fails_its_proof_with_the_place_of_the_damage(corpus: Corpus) -> None:
    make(corpus)
    row = corpus.rows()[0]
    path = corpus.output / row["file"]
    data = bytearray(path.read_bytes())
    data[row["offset"] + 2000] ^= 1
    path.write_bytes(data)
    proved = run("verify", str(corpus.output), "--workers", "1", "--json")
    assert proved.exit_code == 3
    events = [json.loads(line) for line in proved.output.splitlines()]
    assert {"event": "done", "shards": 2, "samples": 6, "problems": 2} in events
    assert row["clip_id"] in {event.get("clip_id") for event in events}


def test_what_went_wrong_is_told_in_one_sentence_and_an_exit_code(corpus: Corpus, tmp_path: Path) -> None:
    for words, code, said in [
        (("verify", str(tmp_path)), 2, "holds no training pairs"),
        (("pairs", "show", str(tmp_path), "abc"), 2, "holds no sample"),
        (("make-pairs", str(corpus.films), "-o", str(tmp_path / "o"), "--bucket", "500x300"), 2, "multiples of 8"),
        (("make-pairs", str(corpus.films), "-o", str(corpus.films)), 2, "is a source folder itself"),
        (("make-pairs", "-o", str(tmp_path / "o")), 2, "sources"),
    ]:
        result = run(*words)
        assert (result.exit_code, said in result.output) == (code, True), result.output
    make(corpus)
    picture = run(
        "pairs", "show", str(corpus.output), corpus.rows()[0]["clip_id"], "--picture", str(tmp_path / "a.gif")
    )
    assert (picture.exit_code, "ends in .png" in picture.output) == (2, True)


def test_failed_clips_make_exit_code_3_and_are_listed(corpus: Corpus) -> None:
    (corpus.films / "bad.mkv").write_bytes(b"no film" * 50)
    result = make(corpus, "--json")
    assert result.exit_code == 3
    events = [json.loads(line) for line in result.output.splitlines() if line.startswith("{")]
    assert events[-1]["event"] == "done"
    assert (events[-1]["clips_done"], events[-1]["files_failed"]) == (6, 1)


def test_beginning_anew_leaves_old_shards_as_orphans(corpus: Corpus) -> None:
    make(corpus)
    before = corpus.shards()
    assert make(corpus, "--no-resume").exit_code == 0
    assert corpus.shards() == before, "the same work has the same bytes and names"
    assert "0 orphans" in run("gc", str(corpus.output)).output


def test_beginning_anew_with_some_settings_leaves_the_dataset_of_others_alone(corpus: Corpus) -> None:
    make(corpus)
    other = corpus.settings(**{"pairs.seed": 1})
    (corpus.films.parent / "other.yaml").write_text(yaml.safe_dump(other))
    again = run("make-pairs", "--config", str(corpus.films.parent / "other.yaml"), "--no-resume")
    assert again.exit_code == 0, again.output
    proved = run("verify", str(corpus.output), "--workers", "1", "--no-decode")
    assert "4 shards, 12 samples, 0 problems" in proved.output
    assert "0 orphans" in run("gc", str(corpus.output)).output
