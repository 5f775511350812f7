"""Find stereo material: pairs of pictures or videos, packed videos, lists; each with disparity where there is some."""

import csv
import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from spatialdreamer_core.errors import MaterialError
from spatialdreamer_core.evaluate.frames_in import ARRAYS, PICTURES, VIDEOS
from spatialdreamer_core.store.folders import files_below, folders_below

Packing = Literal["full-sbs", "half-sbs", "full-tb", "half-tb"]

_DISPARITIES = (".pfm", ".npy", ".npz", ".exr", ".png")
_COLUMNS = {"name", "left", "right", "disparity", "disparity_scale", "domain", "layout"}
_PACKING_WORDS: tuple[tuple[str, Packing], ...] = (
    (r"hsbs|half[-_. ]?sbs", "half-sbs"),
    (r"htab|half[-_. ]?(tab|tb|ou)", "half-tb"),
    (r"fsbs|full[-_. ]?sbs|sbs|lrf", "full-sbs"),
    (r"ftab|full[-_. ]?(tab|tb|ou)|tab|tbf", "full-tb"),
)


@dataclass(frozen=True, slots=True)
class ClipRef:
    """One clip of the material, not read yet.

    Attributes:
        name: Path below what was given, without suffix; unique in a run.
        left: The left view, or both if packed.
        right: The right view; None if packed.
        layout: How the eyes are packed; None if they are not.
        disparity: Disparity of the left view, a file or a folder with one file per frame; None if there is none.
        disparity_scale: Pixels per unit of it.
        domain: indoor, driving, animation, ...; None where nobody said.
    """

    name: str
    left: Path
    right: Path | None
    layout: Packing | None = None
    disparity: Path | None = None
    disparity_scale: float = 1.0
    domain: str | None = None

    @property
    def files(self) -> list[Path]:
        """Everything that is read of it."""
        given = [path for path in (self.left, self.right, self.disparity) if path is not None]
        return [file for path in given for file in (files_below(path) if path.is_dir() else [path])]

    def digest(self) -> str:
        """Name its content: every byte of every file, and how they are read."""
        total = hashlib.sha256(f"{self.layout} {self.disparity_scale!r}\n".encode())
        for file in self.files:
            try:
                with file.open("rb") as handle:
                    total.update(hashlib.file_digest(handle, "sha256").digest())
            except OSError as error:
                raise MaterialError(f"{file}: cannot be read ({error.strerror}); check the path") from error
        return total.hexdigest()


def find_material(given: Sequence[str], layout: Packing | None = None) -> list[ClipRef]:
    """List the clips that a command line names.

    Args:
        given: Folders (searched to the bottom), packed videos, or lists (``.csv`` or ``.parquet`` with the columns
            left, right and, if wanted, name, disparity, disparity_scale, domain, layout).
        layout: How packed videos are packed, where their names do not say.

    Raises:
        MaterialError: If something is missing, unclear or torn, or nothing is found.
    """
    clips: list[ClipRef] = []
    for text in given:
        path = Path(text)
        if path.is_dir():
            found = list(_in_folder(path, layout))
            if not found:
                raise MaterialError(
                    f"{path}: no stereo material found; name pairs *_left and *_right (or im0 and im1), or give a list"
                )
            clips += found
        elif path.suffix.lower() in (".csv", ".parquet"):
            clips += _in_list(path, layout)
        elif path.suffix.lower() in VIDEOS:
            clips.append(_packed(path, path.stem, layout))
        else:
            raise MaterialError(f"{path}: neither a folder, a list nor a video; check the path")
    names = [clip.name for clip in clips]
    if doubles := sorted({name for name in names if names.count(name) > 1}):
        raise MaterialError(f"two clips are called {doubles[0]}; name them apart in a list or give folders one by one")
    return clips


def _in_folder(root: Path, layout: Packing | None) -> Iterator[ClipRef]:
    for folder in sorted(folders_below(root)):
        if any(part.startswith(".") for part in folder.relative_to(root).parts):
            continue
        for clip in _pairs_of(folder, layout):
            place = clip.left.parent if clip.name == "" else folder / clip.name
            name = place.relative_to(root).as_posix()
            name = root.name if name == "." else name
            parts = name.split("/")
            yield replace(clip, name=name, domain=parts[0] if len(parts) > 1 else None)


def _pairs_of(folder: Path, layout: Packing | None) -> Iterator[ClipRef]:
    """Clips that lie right in a folder; the name is empty where the folder itself is the clip."""
    entries = {entry.stem.lower(): entry for entry in _visible(folder) if entry.suffix.lower() != ".txt"}
    for first, second in (("im0", "im1"), ("left", "right")):  # Middlebury 2014 and later; plain
        if first in entries and second in entries:
            disparity = next((entries[n] for n in ("disp0gt", "disp0", "disparity") if n in entries), None)
            yield ClipRef("", entries[first], entries[second], None, disparity, _usual_scale(disparity))
            return
    if "im2" in entries and "im6" in entries:  # Middlebury 2003, quarter size: grey / 4, 0 is unknown
        yield ClipRef("", entries["im2"], entries["im6"], None, entries.get("disp2"), 0.25)
        return
    for stem, left in entries.items():
        if not re.search(r"[-_. ]left$", stem):
            if left.suffix.lower() in VIDEOS and not re.search(r"[-_. ](right|disparity|depth)$", stem):
                yield _packed(left, left.stem, layout)
            continue
        base = stem[: -len("left")]
        if base + "right" not in entries:
            raise MaterialError(f"{left}: there is no right view {base}right beside it; add it or take the left away")
        disparity = next((entries[base + word] for word in ("disparity", "disp") if base + word in entries), None)
        name = left.stem[: -len("left") - 1]
        yield ClipRef(name, left, entries[base + "right"], None, disparity, _usual_scale(disparity))


def _packed(path: Path, name: str, layout: Packing | None) -> ClipRef:
    said = next(
        (kind for words, kind in _PACKING_WORDS if re.search(rf"(^|[-_. ])({words})([-_. ]|$)", path.stem.lower())),
        None,
    )
    chosen = said or layout
    if chosen is None:
        raise MaterialError(
            f"{path}: its name does not say how the eyes are packed; give --layout or name it like film.3D.FSBS.mkv"
        )
    return ClipRef(name, path, None, chosen)


def _in_list(path: Path, layout: Packing | None) -> Iterator[ClipRef]:
    for number, row in enumerate(_rows(path), start=1):
        where = f"{path} row {number}"
        if unknown := set(row) - _COLUMNS:
            raise MaterialError(
                f"{where}: no column is called {sorted(unknown)[0]!r}; use {', '.join(sorted(_COLUMNS))}"
            )
        values = {key: str(value).strip() for key, value in row.items() if value not in (None, "")}
        if "left" not in values:
            raise MaterialError(f"{where}: the column left is empty; name the left view")
        left = path.parent / values["left"]
        given = Path(values["left"])
        name = values.get("name") or (given.stem if given.is_absolute() else given.with_suffix("").as_posix())
        if Path(name).is_absolute() or ".." in Path(name).parts:
            # ready views are looked up by it, below their folder
            raise MaterialError(
                f"{where}: the name {name!r} leads out of a folder; give a plain one in the column name"
            )
        domain = values.get("domain")
        if "right" not in values:
            chosen = values.get("layout", layout)
            if chosen not in ("full-sbs", "half-sbs", "full-tb", "half-tb", None):
                raise MaterialError(f"{where}: layout {chosen!r} is none of full-sbs, half-sbs, full-tb, half-tb")
            yield replace(_packed(left, name, chosen), domain=domain)  # type: ignore[arg-type]
            continue
        disparity = path.parent / values["disparity"] if "disparity" in values else None
        try:
            scale = float(values["disparity_scale"]) if "disparity_scale" in values else _usual_scale(disparity)
        except ValueError as error:
            raise MaterialError(f"{where}: disparity_scale must be a number of pixels per unit") from error
        yield ClipRef(name, left, path.parent / values["right"], None, disparity, scale, domain)


def _rows(path: Path) -> Iterable[Mapping[str, Any]]:
    try:
        if path.suffix.lower() == ".parquet":
            return list(pq.read_table(path).to_pylist())
        with path.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))
    except OSError as error:
        raise MaterialError(f"{path}: cannot be read ({error.strerror or error}); check the path") from error
    except (pa.ArrowException, csv.Error, UnicodeDecodeError) as error:
        raise MaterialError(f"{path}: torn or no such list ({' '.join(str(error).split())}); write it again") from error


def _usual_scale(disparity: Path | None) -> float:
    """Pixels per unit: PNGs of 16 bit hold 1/256 px (KITTI); floats hold pixels. PNGs of 8 bit must be told."""
    return 1 / 256 if disparity is not None and disparity.suffix.lower() == ".png" else 1.0


def _visible(folder: Path) -> list[Path]:
    known = (*PICTURES, *ARRAYS, *VIDEOS, *_DISPARITIES)
    entries = (entry for entry in sorted(folder.iterdir()) if not entry.name.startswith("."))
    return [entry for entry in entries if entry.is_dir() or entry.suffix.lower() in known]
