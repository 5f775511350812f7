"""How far a run is, whatever it makes: what the driver tells and the command shows."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the run is.

    Attributes:
        files: Sources of this run.
        files_done: Sources that are through: converted, or looked through.
        files_failed: Sources that will not be finished in this run.
        clips_done: Clips done, earlier runs' included.
        clips_failed: Clips failed.
        frames: Frames of all sources planned so far.
        frames_done: Of those, done, earlier runs' included.
        frames_made: Done in this run.
        source: The source of the latest event.
        source_frames: Its frames.
        source_frames_done: Of those, done.
        message: What just happened, one line; empty for mere progress.
    """

    files: int
    files_done: int = 0
    files_failed: int = 0
    clips_done: int = 0
    clips_failed: int = 0
    frames: int = 0
    frames_done: int = 0
    frames_made: int = 0
    source: str = ""
    source_frames: int = 0
    source_frames_done: int = 0
    message: str = ""
