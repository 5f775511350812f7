import time

import numpy as np
import pytest

from spatialdreamer_core.config import LAYOUTS
from spatialdreamer_core.video.colour import luma_weights
from spatialdreamer_core.video.frames import PIXEL_FORMATS, Frame, PixelFormat
from spatialdreamer_core.video.layouts import depth_plane, file_count, pack, packed_size
from spatialdreamer_core.video.source import ColourInfo

YUV420 = PIXEL_FORMATS["yuv420p"]
FORMATS = list(PIXEL_FORMATS.values())


def noise(seed: int, width: int, height: int, fmt: PixelFormat = YUV420, pts: int = 7) -> Frame:
    rng = np.random.default_rng(seed)
    chroma = (-(-height // fmt.sub_y), -(-width // fmt.sub_x))
    planes = [rng.integers(0, 1 << fmt.bits, shape).astype(fmt.dtype) for shape in ((height, width), chroma, chroma)]
    return Frame(planes[0], planes[1], planes[2], fmt, pts)


def flat(y: int, u: int, v: int, fmt: PixelFormat) -> Frame:
    width, height = 8, 6
    chroma = (height // fmt.sub_y, width // fmt.sub_x)
    return Frame(
        np.full((height, width), y, fmt.dtype), np.full(chroma, u, fmt.dtype), np.full(chroma, v, fmt.dtype), fmt, 0
    )


@pytest.mark.parametrize("fmt", FORMATS, ids=lambda f: f.name)
def test_full_sbs_holds_both_eyes_bit_for_bit(fmt):
    left, right = noise(1, 24, 10, fmt), noise(2, 24, 10, fmt)
    (packed,) = pack(left, right, "full-sbs")
    for plane, first, second in zip(packed.planes, left.planes, right.planes, strict=True):
        half = plane.shape[1] // 2
        assert np.array_equal(plane[:, :half], first)
        assert np.array_equal(plane[:, half:], second)
    assert (packed.pts, packed.format) == (7, fmt)


@pytest.mark.parametrize("fmt", FORMATS, ids=lambda f: f.name)
def test_full_tb_holds_the_left_eye_above_the_right(fmt):
    left, right = noise(1, 24, 10, fmt), noise(2, 24, 10, fmt)
    (packed,) = pack(left, right, "full-tb")
    for plane, first, second in zip(packed.planes, left.planes, right.planes, strict=True):
        assert np.array_equal(plane, np.concatenate([first, second]))


def test_swapped_eyes_put_the_right_eye_first():
    left, right = noise(1, 16, 8), noise(2, 16, 8)
    for layout in ("full-sbs", "half-tb", "interleaved", "anaglyph-dubois", "left-right-files"):
        swapped = pack(left, right, layout, swap_eyes=True)
        plain = pack(right, left, layout)
        assert all(np.array_equal(a.y, b.y) for a, b in zip(swapped, plain, strict=True))


@pytest.mark.parametrize("fmt", FORMATS, ids=lambda f: f.name)
def test_half_sbs_takes_the_mean_of_neighbouring_columns(fmt):
    left, right = noise(1, 24, 10, fmt), noise(2, 24, 10, fmt)
    (packed,) = pack(left, right, "half-sbs")
    assert (packed.width, packed.height) == (24, 10)
    mean = (left.y[:, ::2].astype(int) + left.y[:, 1::2]) / 2
    assert np.max(np.abs(packed.y[:, :12] - mean)) <= 0.5
    assert packed.u.shape == (10 // fmt.sub_y, 12)


def test_half_tb_takes_the_mean_of_neighbouring_rows():
    left, right = noise(1, 24, 12), noise(2, 24, 12)
    (packed,) = pack(left, right, "half-tb")
    mean = (right.y[::2].astype(int) + right.y[1::2]) / 2
    assert (packed.width, packed.height) == (24, 12)
    assert np.max(np.abs(packed.y[6:] - mean)) <= 0.5


@pytest.mark.parametrize("layout", ["full-sbs", "half-sbs", "full-tb", "half-tb"])
@pytest.mark.parametrize("fmt", FORMATS, ids=lambda f: f.name)
def test_eyes_of_odd_size_do_not_share_a_chroma_sample(layout, fmt):
    black, white = 1 << fmt.bits - 4, (1 << fmt.bits) - 1
    left = Frame(*(np.full_like(p, black) for p in noise(0, 23, 11, fmt).planes), fmt, 0)
    right = Frame(*(np.full_like(p, white) for p in left.planes), fmt, 0)
    (packed,) = pack(left, right, layout)
    assert packed.width % 2 == packed.height % 2 == 0
    axis = 1 if layout.endswith("sbs") else 0
    for plane in packed.planes:
        first, second = np.split(plane, 2, axis=axis)
        assert np.all(first == black)
        assert np.all(second == white)


def test_odd_eyes_repeat_their_edge():
    left, right = noise(1, 23, 11), noise(2, 23, 11)
    (packed,) = pack(left, right, "full-sbs")
    assert packed.y.shape == (12, 48)
    assert np.array_equal(packed.y[:11, :23], left.y)
    assert np.array_equal(packed.y[:11, 23], left.y[:, 22])
    assert np.array_equal(packed.y[11, :23], left.y[10])


def test_interleaved_takes_even_rows_from_the_left_eye():
    left, right = noise(1, 16, 8), noise(2, 16, 8)
    (packed,) = pack(left, right, "interleaved")
    assert np.array_equal(packed.y[::2], left.y[::2])
    assert np.array_equal(packed.y[1::2], right.y[1::2])
    assert np.array_equal(packed.u, (left.u.astype(int) + right.u + 1) // 2)


def test_interleaved_422_alternates_chroma_rows_too():
    fmt = PIXEL_FORMATS["yuv422p10le"]
    left, right = noise(1, 16, 8, fmt), noise(2, 16, 8, fmt)
    (packed,) = pack(left, right, "interleaved")
    assert np.array_equal(packed.v[::2], left.v[::2])
    assert np.array_equal(packed.v[1::2], right.v[1::2])


def test_left_right_files_are_two_untouched_frames():
    left, right = noise(1, 16, 8), noise(2, 16, 8)
    first, second = pack(left, right, "left-right-files")
    assert np.array_equal(first.y, left.y)
    assert np.array_equal(second.v, right.v)
    assert [file_count(layout) for layout in LAYOUTS] == [2 if x == "left-right-files" else 1 for x in LAYOUTS]


def test_rgbd_puts_grey_depth_beside_the_picture():
    left, right = noise(1, 16, 8), noise(2, 16, 8)
    depth = depth_plane(np.linspace(0, 1, 16, dtype=np.float32)[None].repeat(8, 0), 16, 8, YUV420, ColourInfo())
    (packed,) = pack(left, right, "rgbd", depth=depth)
    assert np.array_equal(packed.y[:, :16], left.y)
    assert (packed.y[0, 16], packed.y[0, 31]) == (16, 235)
    assert np.all(packed.u[:, 8:] == 128)
    with pytest.raises(ValueError, match="depth of shape"):
        pack(left, right, "rgbd")


def test_depth_reaches_the_whole_of_a_full_range():
    fmt = PIXEL_FORMATS["yuv420p10le"]
    plane = depth_plane(np.array([[0, 1]], np.float32), 4, 2, fmt, ColourInfo(range=2))
    assert (plane.min(), plane.max(), plane.dtype) == (0, 1023, np.uint16)


@pytest.mark.parametrize("fmt", FORMATS, ids=lambda f: f.name)
@pytest.mark.parametrize("layout", ["anaglyph-dubois", "anaglyph-red-cyan"])
def test_grey_seen_by_both_eyes_stays_grey_in_an_anaglyph(layout, fmt):
    scale = 1 << (fmt.bits - 8)
    frame = flat(126 * scale, 128 * scale, 128 * scale, fmt)
    (packed,) = pack(frame, frame, layout)
    for plane, value in zip(packed.planes, (126, 128, 128), strict=True):
        assert np.max(np.abs(plane.astype(int) - value * scale)) <= scale


def loop_anaglyph(left, right, mix, weights, ranges=(16, 219, 224)):
    """Per sample, in plain numpy: YUV to RGB, mix, clip, back."""
    (red, blue), (low, span, chroma), (mix_left, mix_right) = weights, ranges, mix
    green = 1 - red - blue

    def rgb(f):
        y = (f.y.astype(float) - low) / span
        u, v = ((np.kron(p, np.ones((2, 2))) - 128) / chroma for p in (f.u, f.v))
        b, r = y + 2 * (1 - blue) * u, y + 2 * (1 - red) * v
        return np.stack([r, (y - red * r - blue * b) / green, b])

    mixed = np.einsum("ij,jhw->ihw", mix_left, rgb(left)) + np.einsum("ij,jhw->ihw", mix_right, rgb(right))
    mixed = np.clip(mixed, 0, 1)
    y = red * mixed[0] + green * mixed[1] + blue * mixed[2]
    u, v = (mixed[2] - y) / (2 * (1 - blue)), (mixed[0] - y) / (2 * (1 - red))
    mean = [p.reshape(p.shape[0] // 2, 2, -1, 2).mean((1, 3)) * chroma + 128 for p in (u, v)]
    return y * span + low, mean[0], mean[1]


@pytest.mark.parametrize(("matrix", "weights"), [(1, (0.2126, 0.0722)), (6, (0.299, 0.114)), (9, (0.2627, 0.0593))])
def test_red_cyan_agrees_with_a_plain_conversion(matrix, weights):
    left, right = noise(1, 12, 6), noise(2, 12, 6)
    (packed,) = pack(left, right, "anaglyph-red-cyan", colour=ColourInfo(matrix=matrix))
    expected = loop_anaglyph(left, right, (np.diag([1, 0, 0]), np.diag([0, 1, 1])), weights)
    for plane, want in zip(packed.planes, expected, strict=True):
        assert np.max(np.abs(plane - np.clip(want, 0, 255))) <= 0.51


def test_dubois_agrees_with_a_plain_conversion():
    mix_left = np.array(
        [[0.4561, 0.500484, 0.176381], [-0.0400822, -0.0378246, -0.0157589], [-0.0152161, -0.0205971, -0.00546856]]
    )
    mix_right = np.array(
        [[-0.0434706, -0.0879388, -0.00155529], [0.378476, 0.73364, -0.0184503], [-0.0721527, -0.112961, 1.2264]]
    )
    left, right = noise(1, 12, 6), noise(2, 12, 6)
    (packed,) = pack(left, right, "anaglyph-dubois", colour=ColourInfo(range=2, matrix=1))
    expected = loop_anaglyph(left, right, (mix_left, mix_right), (0.2126, 0.0722), (0, 255, 255))
    for plane, want in zip(packed.planes, expected, strict=True):
        assert np.max(np.abs(plane - np.clip(want, 0, 255))) <= 0.51


def test_an_unspecified_matrix_is_709_from_720_rows_on():
    assert luma_weights(ColourInfo(), 720) == luma_weights(ColourInfo(matrix=1), 100)
    assert luma_weights(ColourInfo(), 719) == luma_weights(ColourInfo(matrix=6), 2160)


@pytest.mark.parametrize(
    ("layout", "expected"),
    [
        ("full-sbs", (7680, 2160, False)),
        ("half-sbs", (3840, 2160, False)),
        ("full-tb", (3840, 4320, False)),
        ("half-tb", (3840, 2160, False)),
        ("anaglyph-dubois", (3840, 2160, False)),
    ],
)
def test_packed_size_of_uhd(layout, expected):
    size = packed_size(3840, 2160, layout, 7680, YUV420)
    assert (size.width, size.height, size.limited) == expected


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("size", [(3840, 2160), (641, 359), (101, 57)])
def test_max_width_shrinks_both_sides_alike(layout, size):
    packed = packed_size(*size, layout, 100, YUV420)
    assert packed.width <= 100
    assert packed.width % 2 == packed.height % 2 == packed.eye_width % 2 == packed.eye_height % 2 == 0
    half_x, half_y = (2 if layout == "half-sbs" else 1), (2 if layout == "half-tb" else 1)
    shape = packed.content_width * half_x / (packed.content_height * half_y)
    assert shape == pytest.approx(size[0] / size[1], rel=0.06)


@pytest.mark.parametrize("layout", [x for x in LAYOUTS if x != "rgbd"])
@pytest.mark.parametrize("size", [(1, 1), (3, 2), (31, 17), (64, 36)])
def test_packed_frames_have_the_size_that_was_promised(layout, size):
    for fmt in FORMATS:
        left, right = noise(1, *size, fmt), noise(2, *size, fmt)
        promised = packed_size(*size, layout, 40, fmt)
        for frame in pack(left, right, layout, max_width=40):
            assert (frame.width, frame.height) == (promised.width, promised.height)
            assert frame.u.shape == (frame.height // fmt.sub_y, frame.width // fmt.sub_x)
            assert frame.y.dtype == fmt.dtype


def test_eyes_of_different_size_are_refused():
    with pytest.raises(ValueError, match="eyes differ"):
        pack(noise(1, 16, 8), noise(2, 16, 10), "full-sbs")


def test_packing_writes_into_nothing_it_was_given():
    left, right = noise(1, 16, 8), noise(2, 16, 8)
    for plane in (*left.planes, *right.planes):
        plane.flags.writeable = False
    for layout in LAYOUTS:
        pack(left, right, layout, depth=left.y)


def test_an_anaglyph_of_720_rows_takes_a_few_milliseconds():
    left, right = noise(1, 1280, 720), noise(2, 1280, 720)
    best = 1.0
    for _ in range(8):
        start = time.perf_counter()
        pack(left, right, "anaglyph-dubois")
        best = min(best, time.perf_counter() - start)
    assert best < 0.05  # 8 ms on a free core; room for a busy machine
