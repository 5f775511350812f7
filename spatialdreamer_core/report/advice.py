"""What a reason code of a failed clip means and what to do, for people."""

ADVICE: dict[str, tuple[str, str]] = {
    "unreadable": ("Cannot be opened", "Not a media file, cut off, or encrypted. Play it; if it plays, remux it."),
    "no_video": ("No video in it", "Sound only or an empty stream. Leave it out."),
    "decode_failed": (
        "Cannot be decoded",
        "Damaged or an unknown codec. Copy it again from its source, or transcode it.",
    ),
    "size_changed": ("The picture changes its size", "Cut it where the size changes, or scale it to one size first."),
    "depth_failed": ("No depth", "Imported depth must match the file frame by frame; or try another depth model."),
    "depth_flat": (
        "Nothing to shift",
        "The depth is the same everywhere. Leave the clip out, or try another depth model.",
    ),
    "depth_not_finite": (
        "Broken depth",
        "It holds NaN or values out of range. Mend imported depth; report it otherwise.",
    ),
    "flow_failed": ("No motion to believe", "Nothing in neighbouring frames fits together. Leave the clip out."),
    "refine_failed": (
        "The painting network failed",
        "See the message; what is done stays. Run again with --refine none to do without it.",
    ),
    "too_short": ("Too few frames", "Ask for shorter clips, or leave it out."),
    "encode_failed": ("Cannot be encoded", "This codec, container and size do not go together. Try another of them."),
    "bad_clip": ("Cannot be converted", "See the message."),
    "worker_died": (
        "Crashed its worker, also alone",
        "Often too little memory. Try fewer workers; report it otherwise.",
    ),
    "hung": ("Never came to an end", "Try it alone; a damaged file or a stalled disk are the usual causes."),
    "disk_full": ("The disk is full", "Free some room and run the same command again; it will go on."),
    "store_failed": ("The output cannot be written", "Check permissions and the connection, then run again."),
    "bad_settings": ("The settings contradict", "See the message."),
    "stopped": ("Stopped early", "Too much failed in a row. Mend the cause and run the same command again."),
    "unexpected": ("An error nobody planned for", "Please report it with the message."),
}
"""Reason code: what it means, what to do."""


def advice_on(reason: str) -> tuple[str, str]:
    """What a reason code means and what to do; a code that nobody knows tells its name."""
    return ADVICE.get(reason, (reason.replace("_", " ").capitalize(), "See the message."))
