"""The errors that this project raises on purpose; each holds one sentence: what, where, what to do.

Every class takes a single message, because a second ``__init__`` argument does not survive the trip out of a
Ray actor. ``reason`` is the code that a manifest row carries.
"""

from typing import ClassVar


class SpatialDreamerError(Exception):
    """Base of every error this project raises on purpose."""

    reason: ClassVar[str] = "error"


class ClipError(SpatialDreamerError):
    """This clip cannot be converted; the next one may. Becomes a manifest row with ``status="failed"``."""

    reason = "bad_clip"


class UnreadableSourceError(ClipError):
    """The source cannot be opened or is no media file that we read."""

    reason = "unreadable"


class NoVideoError(ClipError):
    """The source opens but holds no video stream, or one without a single picture."""

    reason = "no_video"


class DecodeError(ClipError):
    """The video stream is there but its pictures cannot be decoded."""

    reason = "decode_failed"


class SizeChangeError(ClipError):
    """The picture size changes in the middle of the stream."""

    reason = "size_changed"


class DepthError(ClipError):
    """Depth could not be estimated or imported for this clip."""

    reason = "depth_failed"


class FlatDepthError(DepthError):
    """Depth is the same everywhere, so there is nothing to shift."""

    reason = "depth_flat"


class BadDepthError(DepthError):
    """Depth holds NaN, infinity or values outside its range."""

    reason = "depth_not_finite"


class FlowError(ClipError):
    """No optical flow of this clip can be believed."""

    reason = "flow_failed"


class RefineError(ClipError):
    """The network that paints uncovered background failed on this clip."""

    reason = "refine_failed"


class ShortClipError(ClipError):
    """The clip or shot has fewer frames than were asked for."""

    reason = "too_short"


class EncodeError(ClipError):
    """The made video could not be encoded or muxed with the settings asked for."""

    reason = "encode_failed"


class ConfigError(SpatialDreamerError, ValueError):
    """The settings contradict each other or name something that does not exist; nothing has been started.

    Also a ``ValueError``, so that whoever validates a settings file can say where in it the mistake is.
    """

    reason = "bad_settings"


class StoreError(SpatialDreamerError):
    """The output place cannot be written or read: full, read-only, locked by another run or unreachable."""

    reason = "store_failed"


class WeightsError(SpatialDreamerError):
    """Weights are not on this machine, cannot be fetched, or are not the bytes that they should be."""

    reason = "no_weights"


class MaterialError(SpatialDreamerError):
    """Material of an evaluation is missing, unclear, damaged, or its parts do not fit each other."""

    reason = "bad_material"


class TrainingError(SpatialDreamerError):
    """A training cannot go on: its loss is no number, or its data is gone; the last checkpoint is kept."""

    reason = "training_failed"
