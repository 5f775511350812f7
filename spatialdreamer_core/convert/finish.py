"""Join a source's chunks into the files that people get, with everything else of the source; then tidy up."""

import json
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import PurePosixPath
from typing import Any, Literal

from spatialdreamer_core.config import ConvertConfig
from spatialdreamer_core.convert.plan import SourcePlan
from spatialdreamer_core.convert.segment import Commit, commit_from_bytes, commit_key, encode_spec, file_sha256
from spatialdreamer_core.depth.export import depth_folder_name
from spatialdreamer_core.errors import StoreError
from spatialdreamer_core.store.place import Place, canonical_json
from spatialdreamer_core.video.join import Chunk, join
from spatialdreamer_core.video.layouts import file_count
from spatialdreamer_core.video.names import output_name


@dataclass(frozen=True, slots=True)
class Finished:
    """The record that a source is done; exists only after its files.

    Attributes:
        stem: Output path without suffix.
        files: Keys of the files that people get.
        sha256: Their digests.
        bytes: Their sizes.
        frames: Pictures in each.
        notes: What was converted or left out on the way, one sentence each.
    """

    stem: str
    files: tuple[str, ...]
    sha256: tuple[str, ...]
    bytes: tuple[int, ...]
    frames: int
    notes: tuple[str, ...]


def output_keys(stem: str, config: ConvertConfig) -> tuple[str, ...]:
    """Keys of the files that a source becomes; ``stem`` may have folders before it."""
    folder, name = PurePosixPath(stem).parent, PurePosixPath(stem).name
    count = file_count(config.encode.layout)
    eyes: tuple[Literal["left", "right"] | None, ...] = (None,) if count == 1 else ("left", "right")
    names = [
        output_name(name, config.encode.layout, config.encode.container, config.stereo.swap_eyes, eye=eye)
        for eye in eyes
    ]
    return tuple(str(folder / name) for name in names)


def finished_key(plan: SourcePlan, stem: str) -> str:
    """Where the record of a finished source lies; the output's name belongs to it."""
    return f"{plan.folder}/finished/{stem.replace('/', '%2F')[-180:]}.json"


def read_finished(place: Place, plan: SourcePlan, stem: str) -> Finished | None:
    """The record of a finished source, if its files are still there as they were written."""
    return _whole(place, finished_key(plan, stem))


def find_finished(place: Place, plan: SourcePlan) -> Finished | None:
    """A record of the same content and settings under any name, if its files are still there."""
    keys = place.keys(f"{plan.folder}/finished")
    return next((done for key in keys if (done := _whole(place, key)) is not None), None)


def _whole(place: Place, key: str) -> Finished | None:
    data = place.read(key)
    if data is None:
        return None
    plain: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in json.loads(data).items()
    }
    done = Finished(**plain)
    whole = all(place.size(key) == size for key, size in zip(done.files, done.bytes, strict=True))
    return done if whole else None


def read_commits(place: Place, plan: SourcePlan) -> dict[int, Commit]:
    """The committed segments of a source whose chunks are still there, by number."""
    present = set(place.keys(f"{plan.folder}/chunks"))

    def is_there(chunk: str) -> bool:  # what a retake took over lies with the first take
        return chunk in present if chunk.startswith(plan.folder) else place.size(chunk) is not None

    wanted = {commit_key(plan, segment) for segment in plan.segments}
    commits = {}
    for key in place.keys(f"{plan.folder}/commits"):
        if key in wanted and (data := place.read(key)) is not None:
            commit = commit_from_bytes(data)
            if all(is_there(chunk) for chunk in commit.chunks):
                commits[commit.segment] = commit
            else:
                place.remove(key)  # a chunk is gone: the segment is to be made again
    return commits


def finish_source(plan: SourcePlan, stem: str, config: ConvertConfig, place: Place) -> Finished:
    """Join the chunks of every segment and publish the files, then their record.

    Raises:
        StoreError: If a commit or chunk is missing or not what was committed.
        ClipError: If joining fails.
    """
    commits = read_commits(place, plan)
    missing = [segment.index for segment in plan.segments if segment.index not in commits]
    if missing:
        raise StoreError(f"{plan.info.uri}: segments {missing[:5]} are not committed; run the same command again")
    keys = output_keys(stem, config)
    spec = encode_spec(plan, config)
    digests, sizes, notes = [], [], []
    for number, key in enumerate(keys):
        with ExitStack() as stack:
            chunks = [
                Chunk(
                    stack.enter_context(place.local_copy(commits[segment.index].chunks[number])),
                    plan.scan.pts[segment.start : segment.end],
                )
                for segment in plan.segments
            ]
            for chunk, segment in zip(chunks, plan.segments, strict=True):
                if file_sha256(chunk.path) != commits[segment.index].sha256[number]:
                    place.remove(commit_key(plan, segment))
                    raise StoreError(f"chunk {chunk.path}: not what was committed; it will be made again")
            scratch = stack.enter_context(place.scratch(f".{config.encode.container}"))
            report = join(
                plan.info.uri,
                plan.info,
                chunks,
                scratch,
                spec,
                config.encode.container,
                start_s=config.start_s,
                duration_s=config.duration_s,
            )
            digests.append(file_sha256(scratch))
            sizes.append(scratch.stat().st_size)
            notes.extend(_report_notes(report, first=number == 0))
            place.publish_file(scratch, key)
    if config.export_depth:
        _publish_depth(plan, stem, place)
    done = Finished(stem, keys, tuple(digests), tuple(sizes), len(plan.scan.pts), tuple(notes))
    place.publish(finished_key(plan, stem), canonical_json(asdict(done)))
    return done


def copy_finished(plan: SourcePlan, stem: str, config: ConvertConfig, place: Place) -> Finished:
    """Give a source that was converted under another name its files under this one.

    Raises:
        StoreError: If the other's files are gone.
    """
    other = find_finished(place, plan)
    if other is None:
        raise StoreError(f"{plan.info.uri}: its twin's files are gone; run the same command again")
    keys = output_keys(stem, config)
    for there, here in zip(other.files, keys, strict=True):
        place.copy(there, here)
    if config.export_depth:
        _publish_depth(plan, stem, place)
    done = replace(other, stem=stem, files=keys)
    place.publish(finished_key(plan, stem), canonical_json(asdict(done)))
    return done


def forget_chunks(plan: SourcePlan, place: Place) -> None:
    """Remove what only joining needed; commits, rows and sheets stay."""
    place.remove_folder(f"{plan.folder}/chunks")


def _publish_depth(plan: SourcePlan, stem: str, place: Place) -> None:
    start = len(f"{plan.folder}/depth/")
    for key in place.keys(f"{plan.folder}/depth"):
        place.copy(key, f"{depth_folder_name(stem)}/{key[start:]}")


def _report_notes(report: Any, *, first: bool) -> list[str]:
    """What joining did beyond copying; told once, though both eyes' files go through it."""
    return [*report.converted, *report.left_out, *report.notes] if first else []
