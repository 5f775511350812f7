import itertools
import re

import pytest

from spatialdreamer_core.config import LAYOUTS
from spatialdreamer_core.video.names import output_name

STEM = "Title (2020)"
PACKED = ["full-sbs", "half-sbs", "full-tb", "half-tb"]
FLAT = ["anaglyph-dubois", "anaglyph-red-cyan", "interleaved", "rgbd"]


def kodi(name):
    """Kodi's rule: the 3D word, then the packing word, each between separators."""
    if not re.search(r"[-. _]3d[-. _]", name, re.IGNORECASE):
        return None
    if re.search(r"[-. _]h?sbs[-. _]", name, re.IGNORECASE):
        return "sbs"
    return "tab" if re.search(r"[-. _]h?tab[-. _]", name, re.IGNORECASE) else None


def jellyfin(name):
    """Jellyfin's rule: the word right after ``3d`` first, then any of these words in this order."""
    words = re.split(r"[ ()\-._\[\]]+", name.lower())
    after_3d = [b for a, b in itertools.pairwise(words) if a == "3d"]
    for word in ("hsbs", "sbs", "htab", "tab"):
        if word in after_3d:
            return {"sbs": "hsbs", "tab": "htab"}.get(word, word)
    return next((word for word in ("fsbs", "hsbs", "sbs", "ftab", "htab", "tab") if word in words), None)


def words_of(name):
    return set(re.split(r"[-. _]+", name.lower()))


def test_full_and_half_sbs_have_the_known_names():
    assert output_name(STEM, "full-sbs", "mkv") == "Title (2020).3D.FSBS_LRF_Full_SBS.mkv"
    assert output_name(STEM, "half-sbs", "mkv") == "Title (2020).3D.HSBS_LR.mkv"


@pytest.mark.parametrize("swap", [False, True])
@pytest.mark.parametrize("layout", PACKED)
def test_kodi_knows_the_direction(layout, swap):
    assert kodi(output_name(STEM, layout, "mkv", swap)) == ("sbs" if layout.endswith("sbs") else "tab")


@pytest.mark.parametrize(
    ("layout", "word"), [("full-sbs", "fsbs"), ("half-sbs", "hsbs"), ("full-tb", "ftab"), ("half-tb", "htab")]
)
def test_jellyfin_tells_half_from_full(layout, word):
    assert jellyfin(output_name(STEM, layout, "mp4")) == word
    assert jellyfin(output_name(STEM, layout, "mp4", swap_eyes=True)) == word


@pytest.mark.parametrize("layout", PACKED)
def test_skybox_and_deovr_find_their_word(layout):
    words = words_of(output_name(STEM, layout, "mkv"))
    assert words & ({"sbs", "lr", "hsbs"} if layout.endswith("sbs") else {"tb", "ou", "hou"})


def test_pigasus_finds_the_word_for_full_size():
    assert "lrf" in words_of(output_name(STEM, "full-sbs", "mkv"))
    assert "tbf" in words_of(output_name(STEM, "full-tb", "mkv"))


@pytest.mark.parametrize("layout", FLAT)
@pytest.mark.parametrize("swap", [False, True])
def test_what_is_shown_flat_bears_no_packing_word(layout, swap):
    name = output_name(STEM, layout, "mkv", swap)
    assert kodi(name) is None
    assert jellyfin(name) is None
    packing = {"lr", "rl", "sbs", "hsbs", "tb", "ou", "tab", "3dh", "3dv", "lrf", "tbf"}
    assert not words_of(name) & packing


def test_the_two_eyes_are_two_plain_names():
    names = [output_name(STEM, "left-right-files", "mp4", eye=eye) for eye in ("left", "right")]
    assert names == ["Title (2020).left.mp4", "Title (2020).right.mp4"]
    for layout, eye in (("left-right-files", None), ("full-sbs", "left")):
        with pytest.raises(ValueError, match="eye"):
            output_name(STEM, layout, "mp4", eye=eye)


def test_no_two_layouts_share_a_name():
    names = [output_name(STEM, x, "mkv", swap) for x in LAYOUTS if x != "left-right-files" for swap in (False, True)]
    assert len(set(names)) == len(names) - 1  # rgbd has no eyes to swap


@pytest.mark.parametrize(
    ("stem", "start"),
    [
        ("a/b\\c", "a_b_c.3D"),
        ("../../etc/passwd", "_.._etc_passwd.3D"),
        ("", "video.3D"),
        ("..", "video.3D"),
        ("x\0y\nz", "x_y_z.3D"),
        (" spaced. ", "spaced.3D"),
        ("50% #1 é 日本", "50% #1 é 日本.3D"),
        ("bad \udcff byte", "bad _ byte.3D"),
    ],
)
def test_a_stem_cannot_leave_its_folder_or_hide(stem, start):
    assert output_name(stem, "half-sbs", "mkv").startswith(start)


@pytest.mark.parametrize("letter", ["a", "é", "日", "🎬"])
def test_long_names_are_cut_between_letters_and_stay_apart(letter):
    names = {output_name(letter * n, "full-tb", "mkv", swap_eyes=True) for n in (250, 251, 400)}
    assert len(names) == 3
    for name in names:
        assert len(name.encode()) <= 255
        assert name.startswith(letter * 10)
        assert kodi(name) == "tab"
