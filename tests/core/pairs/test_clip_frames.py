from pathlib import Path

import numpy as np
import pytest

from spatialdreamer_core.errors import ClipError
from spatialdreamer_core.pairs.clip_frames import FilmReader
from spatialdreamer_core.video.probe import probe
from spatialdreamer_core.video.scan import scan
from tests.media import scene, write_video


def test_going_on_in_a_film_gives_the_frames_of_beginning_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    films = {}
    for name in ("a", "b"):
        path = str(write_video(tmp_path / f"{name}.mkv", scene(90, 64, 48, seed=ord(name)), options={"g": "90"}))
        info = probe(path)
        films[name] = info, scan(path, info)
    begun = 0
    import spatialdreamer_core.pairs.clip_frames as module

    decode = module.decode

    def counted(*arguments: object, **more: object) -> object:
        nonlocal begun
        begun += 1
        return decode(*arguments, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "decode", counted)
    reader = FilmReader()
    forwards = [("a", 3, 1), ("a", 7, 0), ("a", 20, 0), ("b", 0, 1), ("b", 4, 0), ("a", 24, 1)]
    for name, start, anew in [*forwards, ("a", 2, 1), ("a", 80, 1)]:
        before = begun
        kept = list(reader.read(*films[name], start, start + 4))
        assert begun - before == anew, (name, start)
        fresh = list(FilmReader().read(*films[name], start, start + 4))
        assert [index for index, _ in kept] == list(range(start, start + 4))
        for (_, one), (_, other) in zip(kept, fresh, strict=True):
            assert all(np.array_equal(p, q) for p, q in zip(one.planes, other.planes, strict=True))


def test_after_a_film_that_breaks_off_the_next_clip_begins_anew(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mkv", scene(60, 64, 48), options={"g": "10"})
    info = probe(str(path))
    scanned = scan(str(path), info)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    reader = FilmReader()
    with pytest.raises(ClipError):
        list(reader.read(info, scanned, 40, 60))
    path.write_bytes(whole)
    assert len(list(reader.read(info, scanned, 44, 60))) == 16
