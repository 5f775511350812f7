# mypy: allow-untyped-defs, allow-untyped-calls

"""The compiled loops behind ``splat``, in one file because a change elsewhere would not renew their compile cache.

The rule that they follow is written in ``splat``.
"""

from collections.abc import Callable
from typing import Any

import numba
import numpy as np

_LANES = 16  # targets written together: a whole number of turns of every compiled loop, and little more than needed
_PAD = _LANES + 8  # samples beyond a row that a group of targets may touch
_BYTE_NUMBERS = np.uint64(0x0001020304050607)  # times 1 << 8 k, this has k in its top byte
_FAR = 64.0  # landing places are clipped this far outside the picture; more than any tear allows


def _kernel(function: Callable[..., Any]) -> Any:
    """Compile, releasing the GIL; a division by zero gives inf as in numpy, or it could not be vectorised."""
    return numba.njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})(function)


# --- the whole picture ----------------------------------------------------------------------------------------------


@_kernel
def map_rows(disparity, join_limit, source_x):
    """Fill ``source_x`` from ``disparity``; tell whether all of it is finite."""
    H, W = disparity.shape
    columns, landing, words, steps = _columns(W), np.zeros(W + 2 * _PAD, np.float32), _words(W), _steps(W)
    finite = True
    for j in range(H):
        finite = finite and _map_row(disparity[j], join_limit, columns, landing, words, steps, source_x[j])
    return finite


@_kernel
def resample_planes(source_x, first, second, both, sub_x, sub_y, empty, peak, made_first, made_second):
    """Fill one plane, or two that share their positions, ``empty`` in holes; tell whether all positions lie inside."""
    H, W = made_first.shape
    columns, positions, words, steps = _columns(W), np.zeros(W + 2 * _PAD, np.float32), _words(W), _steps(W)
    rows, lines = np.zeros((2, W + 2 * _PAD), np.float32), np.zeros((2, W + 2 * _PAD), np.uint16)
    inside = True
    for j in range(H):
        _take_positions(source_x[j * sub_y], sub_x, positions, words.view(np.uint8), W)
        count = _list_steps(words, W, steps)
        _load_row(first[j], rows[0])
        if both:
            _load_row(second[j], rows[1])
        for k in range(2 if both else 1):
            inside &= _resample_row(positions, columns, steps, count, rows[k], W, sub_x == 1, empty, peak, lines[k])
        _copy(lines[0], made_first[j])
        if both:
            _copy(lines[1], made_second[j])
    return inside


@_kernel
def close_rows(source_x, widest):
    """Let a torn pair of neighbours hide what shows through between them, if that is at most ``widest`` columns."""
    H, W = source_x.shape
    words = _words(W)
    flags, one = words.view(np.uint8), np.uint64(1)
    for j in range(H):
        shown = source_x[j]
        for t in range(np.uint64(0), np.uint64(W - 1)):  # unsigned: see the note at _read_six
            flags[t] = shown[t + one] < shown[t] - np.float32(1)  # something farther begins; never beside a hole
        for w in range(words.size):
            if words[w] != np.uint64(0):  # eight at a time: such places are rare
                for t in range(8 * w, min(8 * w + 8, W - 1)):
                    if flags[t]:
                        _close(shown, t, widest)


@_kernel
def _close(shown, t, widest):
    """Close the crack after target t, if there is one: the next column of the source shows again a few targets on."""
    near = shown[t]
    for k in range(2, min(widest + 2, shown.shape[0] - t)):
        there = shown[t + k]
        if there > near:
            if np.floor(there) - np.ceil(near) <= 2:
                for i in range(1, k):
                    shown[t + i] = near + (there - near) * (np.float32(i) / np.float32(k))
            return


@_kernel
def lost_rows(disparity, join_limit, lost):
    """Fill ``lost``: True where the made eye does not see the source pixel; tell whether all disparity is finite."""
    H, W = disparity.shape
    columns, landing, flags = _columns(W), np.zeros(W + 2 * _PAD, np.float32), _words(W).view(np.uint8)
    u = landing[_PAD : _PAD + W]
    for j in range(H):
        if not _land(disparity[j], columns, join_limit, landing, flags):
            return False
        leftmost = np.float32(np.inf)  # of everything to the right of x: only what reaches over u_x can hide it
        for x in range(W - 1, -1, -1):
            gone = u[x] < -0.5 or u[x] >= W - 0.5
            if not gone and leftmost <= u[x] + np.float32(0.5):
                gone = _covered(u, x, join_limit)
            lost[j, x] = gone
            leftmost = min(leftmost, u[x])
    return True


@_kernel
def _covered(u, x, join_limit):
    place = u[x]
    for k in range(x + 1, u.shape[0]):
        gap_left = u[k] - u[k - 1]
        torn_left = gap_left <= 0 or gap_left > join_limit
        if torn_left and u[k] - np.float32(0.5) <= place < u[k]:
            return True
        if k + 1 < u.shape[0] and 0 < u[k + 1] - u[k] <= join_limit:
            if u[k] <= place < u[k + 1]:
                return True
        elif u[k] <= place < u[k] + np.float32(0.5):
            return True
    return False


# --- working rows, steps --------------------------------------------------------------------------------------------


@_kernel
def _columns(W):
    return np.arange(W + 2 * _PAD).astype(np.float32)


@_kernel
def _words(W):
    """Make flags of a byte each, as words of eight."""
    return np.zeros((W + 7) // 8, np.uint64)


@_kernel
def _steps(W):
    return np.empty(W + 1, np.int32)


@_kernel
def _list_steps(words, n, steps):
    """List the flagged indexes of n samples, and n - 1; a flag at i tells that i + 1 does not go on as i does."""
    flags = words.view(np.uint8)
    flags[n - 1] = 1
    flags[n : (n + 7) // 8 * 8] = 0
    count, one, eight, top = np.uint64(0), np.uint64(1), np.uint64(8), np.uint64(56)
    for w in range(np.uint64(0), np.uint64((n + 7) // 8)):
        word = words[w]
        while word != np.uint64(0):  # eight at a time: steps are rare
            lowest = word & (~word + one)
            steps[count] = np.int32(eight * w + ((lowest * _BYTE_NUMBERS) >> top))
            count += one
            word ^= lowest
    return np.int64(count)


# --- the map --------------------------------------------------------------------------------------------------------


@_kernel
def _map_row(disparity, join_limit, columns, u, words, steps, shown):
    """Write the map of one row; tell whether all its disparities are finite.

    Pixel x has level ``K_x = ceil(u_x) - x``. Inside a joined stretch whose levels are k and k + 1 only, target t shows
    the pair of column t - k or that of the column before, so many targets are written by one loop without branches. A
    row is cut into such stretches; levels change rarely where the surface is smooth.
    """
    W = disparity.shape[0]
    if not _land(disparity, columns, join_limit, u, words.view(np.uint8)):
        return False
    count = _list_steps(words, W, steps)
    shown[:] = np.float32(np.nan)
    _show_half_before(u[_PAD], 0, shown)
    first = 0
    least = most = int(np.ceil(u[_PAD]))
    for r in range(count):
        last = steps[r]
        following = last + 1
        joined = following < W and 0 < u[_PAD + following] - u[_PAD + last] <= join_limit
        level = int(np.ceil(u[_PAD + following])) - following if following < W else least
        if joined and max(most, level) - min(least, level) <= 1:
            least, most = min(least, level), max(most, level)
            continue
        _show_stretch(u, first, last, least, columns, shown)
        if joined:
            _show_pair(u, last, shown)
        else:
            _show_half_after(u[_PAD + last], last, shown)
            if following < W:
                _show_half_before(u[_PAD + following], following, shown)
        first = following
        least = most = level
    return True


@_kernel
def _land(disparity, columns, join_limit, u, flags):
    """Write where each column lands and flag where the level changes or a surface ends; say if all is finite."""
    W = disparity.shape[0]
    low, high, largest = np.float32(-_FAR), np.float32(W + _FAR), np.float32(3.0e38)
    wrong = False
    one, pad = np.uint64(1), np.uint64(_PAD)
    for x in range(np.uint64(0), np.uint64(W - 1)):  # unsigned: see the note at _read_six
        d = disparity[x]
        wrong |= not (abs(d) <= largest)
        here, there = columns[x] - d, columns[x + one] - disparity[x + one]
        here = here if here > low else low
        here = here if here < high else high
        there = there if there > low else low
        there = there if there < high else high
        u[x + pad] = here
        gap = there - here
        level_changes = np.ceil(there) - np.ceil(here) != np.float32(1)
        flags[x] = level_changes | (gap <= np.float32(0)) | (gap > join_limit)
    d = disparity[W - 1]
    wrong |= not (abs(d) <= largest)
    u[_PAD + W - 1] = min(max(columns[W - 1] - d, low), high)
    return not wrong


@_kernel
def _show_half_before(place, x, shown):
    t = np.ceil(place - np.float32(0.5))
    if 0 <= t < place and t < shown.shape[0]:
        shown[int(t)] = x


@_kernel
def _show_half_after(place, x, shown):
    t = np.ceil(place)
    if 0 <= t < place + np.float32(0.5) and t < shown.shape[0]:
        shown[int(t)] = x


@_kernel
def _show_pair(u, x, shown):
    """Show the joined pair of columns x and x + 1."""
    low, high = u[_PAD + x], u[_PAD + x + 1]
    for t in range(max(int(np.ceil(low)), 0), min(int(np.ceil(high)), shown.shape[0])):
        shown[t] = np.float32(x) + (np.float32(t) - low) / (high - low)


@_kernel
def _show_stretch(u, first, last, level, columns, shown):
    """Show the joined columns [first, last], whose levels are ``level`` and at most ``level + 1``."""
    t0 = max(int(np.ceil(u[_PAD + first])), 0)
    t1 = min(int(np.ceil(u[_PAD + last])), shown.shape[0])
    n = t1 - t0
    if n >= _LANES:
        whole = n // _LANES * _LANES
        _show_targets(u, t0, whole, level, columns, shown)
        if whole < n:  # overlaps what was just written, with the same values: cheaper than a loop of single targets
            _show_targets(u, t1 - _LANES, _LANES, level, columns, shown)
    elif n > 0:
        _show_targets(u, t0, n, level, columns, shown)


@_kernel
def _show_targets(u, t, n, level, columns, shown):
    start = _PAD + t - level
    p0, p1, p2 = np.uint64(start - 1), np.uint64(start), np.uint64(start + 1)
    shift, one, zero = np.float32(level), np.float32(1), np.float32(0)
    for i in range(np.uint64(t), np.uint64(t + n)):  # unsigned: see the note at _read_six
        place = columns[i]
        j = i - np.uint64(t)
        before, at, after = u[p0 + j], u[p1 + j], u[p2 + j]
        reached = at <= place
        low = at if reached else before
        high = after if reached else at
        shown[i] = place - shift - (zero if reached else one) + (place - low) / (high - low)


# --- sampling -------------------------------------------------------------------------------------------------------

# Taps -2..3 around the phase f in [0, 1): with h = f - 1/2 and y = f^2 - f,
#   value = (p0 + p1) / 2 + h (p1 - p0) + y (e1 (S1 - S0) + e2 (S2 - S0) + h (q0 D0 + q1 D1 + q2 D2)),
# S_m and D_m the sum and difference of samples 1 + m and -m, every e and q linear in y. It is the linear interpolation
# plus a correction that vanishes at f = 0 and 1 (whole positions are exact) and leaves frequency 0 alone, whatever the
# coefficients. Those are least squares over phase f and frequency w in (0, 0.9 pi), weight w^-1.5, to the ideal delay
# exp(i w f); for luma times 1 + 0.08 * 4 f (1 - f) * sin(pi (w / pi - 0.2) / 0.6) where w / pi is in (0.2, 0.8). That
# lift makes up for what no short filter can keep near w = pi, so both eyes are equally sharp. Gain at f = 1/2: 1.00 at
# w = 0.2 pi, 1.12 at 0.6 pi, 0.81 at 0.8 pi.
_E10, _E11, _E20, _E21 = 0.68812, -0.42362, -0.15527, 0.16213
_Q00, _Q01, _Q10, _Q11, _Q20, _Q21 = -1.03525, 0.38325, 0.33017, -0.1772, 0.01058, 0.02927
_C10, _C11, _C00, _C01, _C20, _C21 = 0.3629, -0.07452, -0.74264, 0.15562, 0.25065, -0.05397


@_kernel
def _six(a, b, c, d, e, f, phase):
    """Interpolate between c and d (samples 0 and 1)."""
    h = phase - np.float32(0.5)
    y = phase * phase - phase
    s0, d0 = c + d, d - c
    s1, d1 = b + e, e - b
    s2, d2 = a + f, f - a
    e1 = np.float32(_E10) + np.float32(_E11) * y
    e2 = np.float32(_E20) + np.float32(_E21) * y
    q0 = np.float32(_Q00) + np.float32(_Q01) * y
    q1 = np.float32(_Q10) + np.float32(_Q11) * y
    q2 = np.float32(_Q20) + np.float32(_Q21) * y
    even = e1 * (s1 - s0) + e2 * (s2 - s0)
    odd = q0 * d0 + q1 * d1 + q2 * d2
    return np.float32(0.5) * s0 + h * d0 + y * (even + h * odd)


@_kernel
def _four(b, c, d, e, phase):
    h = phase - np.float32(0.5)
    y = phase * phase - phase
    s0, d0 = c + d, d - c
    e1 = np.float32(_C10) + np.float32(_C11) * y
    q0 = np.float32(_C00) + np.float32(_C01) * y
    q1 = np.float32(_C20) + np.float32(_C21) * y
    odd = q0 * d0 + q1 * (e - b)
    return np.float32(0.5) * s0 + h * d0 + y * (e1 * (b + e - s0) + h * odd)


@_kernel
def _sample(value, peak):
    """Round to the nearest legal sample."""
    value = value if value > np.float32(0) else np.float32(0)
    value = value if value < peak else peak
    return np.int32(value + np.float32(0.5))


@_kernel
def _load_row(samples, row):
    """Copy samples to float32 with the border repeated on both sides."""
    n = samples.shape[0]
    row[:_PAD] = np.float32(samples[0])
    inner = row[_PAD : _PAD + n]
    for i in range(n):
        inner[i] = np.float32(samples[i])
    row[_PAD + n : 2 * _PAD + n] = np.float32(samples[n - 1])


@_kernel
def _copy(values, out):
    """Copy; numba's own slice assignment guards against overlap, which costs more than the rest of the row."""
    for i in range(out.shape[0]):
        out[i] = values[i]


@_kernel
def _take_positions(shown, sub_x, positions, flags, n):
    """Scale a row of the map to a plane; flag where the whole column does not go on by 1, or the surface ends.

    A surface ends at a hole and where the position jumps.
    """
    if sub_x == 1:
        for i in range(n):
            positions[i] = shown[i]
    elif sub_x == 2:  # a stride known to the compiler is several times faster
        for i in range(n):
            positions[i] = shown[2 * i] * np.float32(0.5)
    else:
        for i in range(n):
            positions[i] = shown[i * sub_x] / np.float32(sub_x)
    one = np.uint64(1)
    for t in range(np.uint64(0), np.uint64(n - 1)):
        here, there = positions[t], positions[t + one]
        goes_on = np.floor(there) - np.floor(here) == np.float32(1)
        flags[t] = not (goes_on | (np.isnan(here) & np.isnan(there)))  # a hole is one run


@_kernel
def _resample_row(positions, columns, steps, count, row, n, wide, empty, peak, line):
    """Read one row of a plane, surface by surface from left to right; tell whether all positions are in the picture.

    Whole groups of ``_LANES`` are read, beyond the end of a surface too: what follows it is written after it.
    """
    top = np.float32(peak)
    r = first = 0
    inside = True
    while r < count:
        begin = r
        while steps[r] + 1 < n and 0 < positions[steps[r] + 1] - positions[steps[r]] < 2:
            r += 1
        last = steps[r]
        r += 1
        if positions[first] != positions[first]:  # a hole
            for t in range(first, last + 1):
                line[t] = empty
        elif positions[first] < 0 or positions[last] >= n:
            inside = False
        else:
            _resample_surface(positions, columns, steps, begin, r, row, first, last, n, wide, top, line)
        first = last + 1
    return inside


@_kernel
def _resample_surface(positions, columns, steps, begin, end, row, first, last, n, wide, top, line):
    """Read one surface, with the samples beyond its ends held at its last ones while it is read."""
    if wide:  # luma pairs are joined: both ends lie on the surface
        low, high = int(np.floor(positions[first])), int(np.ceil(positions[last]))
    else:  # a chroma pair may straddle the silhouette: only its nearer sample counts
        low, high = int(np.rint(positions[first])), int(np.rint(positions[last]))
    low, high = _PAD + low, _PAD + high
    b1, b2, b3 = row[low - 1], row[low - 2], row[low - 3]
    a1, a2, a3 = row[high + 1], row[high + 2], row[high + 3]
    row[low - 1] = row[low - 2] = row[low - 3] = row[low]
    row[high + 1] = row[high + 2] = row[high + 3] = row[high]
    start = first
    least = most = int(np.floor(positions[first])) - first
    for r in range(begin, end):
        stop = steps[r] + 1
        shift = int(np.floor(positions[stop])) - stop if r + 1 < end else least
        if r + 1 < end and max(most, shift) - min(least, shift) <= 1:
            least, most = min(least, shift), max(most, shift)
            continue
        size = (stop - start + _LANES - 1) // _LANES * _LANES
        at = _PAD + start + least
        if wide and least == most:
            _read_six(row, at - 2, positions, columns, start, size, least, top, line)
        elif wide:
            _read_six_mixed(row, at - 2, positions, columns, start, size, least, top, line)
        elif least == most:
            _read_four(row, at - 1, positions, columns, start, size, least, top, line)
        else:
            _read_four_mixed(row, at - 1, positions, columns, start, size, least, top, line)
        start = stop
        least = most = shift
    row[low - 1], row[low - 2], row[low - 3] = b1, b2, b3
    row[high + 1], row[high + 2], row[high + 3] = a1, a2, a3


# Indexes are unsigned below: a signed one might count from the end, which numba must test and so cannot vectorise; and
# slices instead would cost two atomic reference counts each.


@_kernel
def _read_six(row, at, positions, columns, start, size, least, top, line):
    """Read ``size`` targets from ``start`` on, whose whole positions are ``t + least``; ``at`` is the first tap."""
    shift = np.float32(least)
    p0, p1, p2 = np.uint64(at), np.uint64(at + 1), np.uint64(at + 2)
    p3, p4, p5 = np.uint64(at + 3), np.uint64(at + 4), np.uint64(at + 5)
    for i in range(np.uint64(start), np.uint64(start + size)):
        phase = positions[i] - (columns[i] + shift)
        j = i - np.uint64(start)
        value = _six(row[p0 + j], row[p1 + j], row[p2 + j], row[p3 + j], row[p4 + j], row[p5 + j], phase)
        line[i] = _sample(value, top)


@_kernel
def _read_six_mixed(row, at, positions, columns, start, size, least, top, line):
    """Read where some positions lie one column further: both candidates are read and one is taken."""
    shift, one, zero = np.float32(least), np.float32(1), np.float32(0)
    p0, p1, p2, p3 = np.uint64(at), np.uint64(at + 1), np.uint64(at + 2), np.uint64(at + 3)
    p4, p5, p6 = np.uint64(at + 4), np.uint64(at + 5), np.uint64(at + 6)
    for i in range(np.uint64(start), np.uint64(start + size)):
        phase = positions[i] - (columns[i] + shift)
        far = phase >= one
        phase -= one if far else zero
        j = i - np.uint64(start)
        s0, s1, s2, s3 = row[p0 + j], row[p1 + j], row[p2 + j], row[p3 + j]
        s4, s5, s6 = row[p4 + j], row[p5 + j], row[p6 + j]
        a, b, c = s1 if far else s0, s2 if far else s1, s3 if far else s2
        d, e, f = s4 if far else s3, s5 if far else s4, s6 if far else s5
        line[i] = _sample(_six(a, b, c, d, e, f, phase), top)


@_kernel
def _read_four(row, at, positions, columns, start, size, least, top, line):
    shift = np.float32(least)
    p0, p1, p2, p3 = np.uint64(at), np.uint64(at + 1), np.uint64(at + 2), np.uint64(at + 3)
    for i in range(np.uint64(start), np.uint64(start + size)):
        phase = positions[i] - (columns[i] + shift)
        j = i - np.uint64(start)
        line[i] = _sample(_four(row[p0 + j], row[p1 + j], row[p2 + j], row[p3 + j], phase), top)


@_kernel
def _read_four_mixed(row, at, positions, columns, start, size, least, top, line):
    shift, one, zero = np.float32(least), np.float32(1), np.float32(0)
    p0, p1, p2, p3 = np.uint64(at), np.uint64(at + 1), np.uint64(at + 2), np.uint64(at + 3)
    p4 = np.uint64(at + 4)
    for i in range(np.uint64(start), np.uint64(start + size)):
        phase = positions[i] - (columns[i] + shift)
        far = phase >= one
        phase -= one if far else zero
        j = i - np.uint64(start)
        s0, s1, s2, s3, s4 = row[p0 + j], row[p1 + j], row[p2 + j], row[p3 + j], row[p4 + j]
        b, c = s1 if far else s0, s2 if far else s1
        d, e = s3 if far else s2, s4 if far else s3
        line[i] = _sample(_four(b, c, d, e, phase), top)
