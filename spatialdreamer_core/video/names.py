"""Name results so that players recognise the layout from the name alone.

The words, and who reads them (separators and case do not matter to any of them):

- Kodi: ``3D`` and ``HSBS``/``SBS`` or ``HTAB``/``TAB``, each between ``-``, ``.``, space or ``_``.
- Jellyfin: ``FSBS``, ``HSBS``, ``FTAB``, ``HTAB``. A bare ``SBS`` or ``TAB`` means half to it, so the full word
  stands right after ``3D``.
- SKYBOX, DeoVR: ``SBS``, ``LR``, ``TB``; nothing of the kind means flat, which is right for anaglyphs.
- Pigasus: ``LRF``, ``TBF`` for full width or height, ``LR``, ``TB`` for half.
"""

import hashlib
from typing import Literal

from spatialdreamer_core.config import Container, Layout

_MAX_BYTES = 215
"""Most file systems take 255 bytes; scratch files beside the result have longer names than it."""

_WORDS: dict[Layout, tuple[str, str]] = {  # (left eye first, right eye first)
    "full-sbs": ("3D.FSBS_LRF_Full_SBS", "3D.FSBS_RLF_cross_Full_SBS"),
    "half-sbs": ("3D.HSBS_LR", "3D.HSBS_RL"),
    "full-tb": ("3D.FTAB_TBF_TB_Full_TAB", "3D.FTAB_BTF_BT_Full_TAB"),
    "half-tb": ("3D.HTAB_TB", "3D.HTAB_BT"),
    "anaglyph-dubois": ("3D.anaglyph_redcyan_dubois", "3D.anaglyph_cyanred_dubois"),
    "anaglyph-red-cyan": ("3D.anaglyph_redcyan_color", "3D.anaglyph_cyanred_color"),
    "interleaved": ("3D.row_interleaved", "3D.row_interleaved_swapped"),
    "rgbd": ("RGBD", "RGBD"),
}


def output_name(
    stem: str,
    layout: Layout,
    container: Container,
    swap_eyes: bool = False,
    *,
    eye: Literal["left", "right"] | None = None,
) -> str:
    """Give the file name of a result, without a folder.

    Path separators and control characters become ``_``. A name that is too long loses the end of its stem and
    gets a short hash of the whole one instead, so that two long names stay two.

    Args:
        stem: The source's name without its extension.
        layout: How the eyes share the picture.
        container: File format; becomes the extension.
        swap_eyes: Whether the right eye comes first.
        eye: Which of the two files of ``left-right-files``; None for every other layout.

    Raises:
        ValueError: If ``eye`` is missing for ``left-right-files`` or given for another layout.
    """
    if (eye is None) == (layout == "left-right-files"):
        raise ValueError(f"layout {layout} with eye {eye}: an eye is named for left-right-files and only for it")
    words = eye if eye is not None else _WORDS[layout][swap_eyes]
    ending = f".{words}.{container}"
    return _shorten(_safe(stem), _MAX_BYTES - len(ending.encode())) + ending


def _safe(stem: str) -> str:
    # A leading dot would hide the result; lone surrogates come from undecodable names and cannot be written as UTF-8.
    text = "".join("_" if letter in "/\\" or not letter.isprintable() else letter for letter in stem)
    return text.strip().lstrip(".").rstrip(". ") or "video"


def _shorten(stem: str, most: int) -> str:
    data = stem.encode()
    if len(data) <= most:
        return stem
    mark = "~" + hashlib.sha256(data).hexdigest()[:8]
    return data[: most - len(mark)].decode(errors="ignore").rstrip(". ") + mark
