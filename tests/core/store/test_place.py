import os
import subprocess
import sys
from pathlib import Path

import pytest

from spatialdreamer_core.errors import StoreError
from spatialdreamer_core.store.lock import exclusive_run
from spatialdreamer_core.store.place import FullDiskError, Place, canonical_json


def names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(params=["local", "memory"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return Place(str(tmp_path)) if request.param == "local" else Place(f"memory://{tmp_path.name}")


def test_what_is_published_is_read_back_and_listed(place: Place) -> None:
    place.publish("a/b.json", b"one")
    place.publish("a/b.json", b"three")
    assert place.read("a/b.json") == b"three"
    assert place.size("a/b.json") == 5
    assert place.keys("a") == ["a/b.json"]
    place.remove("a/b.json")
    assert place.read("a/b.json") is None
    assert place.size("a/b.json") is None


def test_many_keys_parts_of_keys_and_names_below_a_folder_are_read(place: Place) -> None:
    place.publish("works/a/one.json", b"0123456789")
    place.publish("works/b/two.json", b"two")
    assert place.read_many(["works/a/one.json", "works/none", "works/b/two.json"]) == {
        "works/a/one.json": b"0123456789",
        "works/b/two.json": b"two",
    }
    assert place.read_many([]) == {}
    assert place.read_range("works/a/one.json", 3, 6) == b"345"
    assert place.children("works") == ["a", "b"]
    assert place.children("nothing") == []
    assert (place.age_s("works/none"), place.read("works/a/one.json/below")) == (None, None)
    age = place.age_s("works/a/one.json")
    assert age is not None
    assert abs(age) < 3600 * 15  # a store may tell its local time


def test_a_scratch_file_becomes_the_key_and_leaves_nothing_behind(place: Place, tmp_path: Path) -> None:
    with place.scratch(".bin") as path:
        path.write_bytes(b"whole")
        place.publish_file(path, "film.bin")
    assert place.read("film.bin") == b"whole"
    assert not [name for name in names(tmp_path) if "scratch" in name]


def test_an_error_while_writing_publishes_nothing(place: Place, tmp_path: Path) -> None:
    def die_half_way() -> None:
        with place.scratch() as path:
            path.write_bytes(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        die_half_way()
    assert names(tmp_path) == set()


def test_of_two_creators_the_first_wins(place: Place) -> None:
    assert place.create("commits/1.json", b"first")
    assert not place.create("commits/1.json", b"second")
    assert place.read("commits/1.json") == b"first"


def test_keys_stay_below_the_place(place: Place) -> None:
    for key in ("../out", "a/../../out", "/etc/passwd", ""):
        with pytest.raises(ValueError, match="stay below"):
            place.full(key)


def test_a_full_disk_is_said_in_one_sentence(tmp_path: Path) -> None:
    place = Place(str(tmp_path))
    with pytest.raises(FullDiskError, match="no space left; free some room"), place.scratch():
        raise OSError(28, "No space left on device")


def test_an_output_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "film.mkv").write_bytes(b"x")
    with pytest.raises(StoreError, match="is a file; give a folder"):
        Place(str(tmp_path / "film.mkv")).prepare()


@pytest.mark.skipif(os.geteuid() == 0 and not Path("/proc/sys").exists(), reason="root may write anywhere")
def test_an_output_that_cannot_be_written_is_refused() -> None:
    with pytest.raises(StoreError, match="/proc/sys"):
        Place("/proc/sys/spatialdreamer").prepare()


def test_an_unknown_protocol_is_refused() -> None:
    with pytest.raises(StoreError, match="nowhere"):
        Place("nowhere://bucket")


def test_a_second_run_on_the_same_folder_is_refused_and_a_dead_one_frees_it(tmp_path: Path) -> None:
    place = Place(str(tmp_path))
    hold = (
        "import sys, time; from spatialdreamer_core.store.place import Place;"
        "from spatialdreamer_core.store.lock import exclusive_run\n"
        "with exclusive_run(Place(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", hold, str(tmp_path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        with pytest.raises(StoreError, match=f"another run .process {process.pid}."), exclusive_run(place):
            pass
        process.kill()
    with exclusive_run(place):
        pass


def test_canonical_json_does_not_depend_on_the_order_of_keys() -> None:
    assert canonical_json({"b": 1, "a": [2]}) == canonical_json({"a": [2], "b": 1}) == b'{"a":[2],"b":1}'
