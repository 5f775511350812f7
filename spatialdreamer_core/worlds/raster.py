"""A z-buffer rasteriser for one core: exact depth at pixel centres, textures with mip levels, one shadow.

Homogeneous rasterisation needs no clipping: with the corners A, B, C of a triangle in camera space as the rows of a
matrix, the columns of its inverse give, for the ray d = (x, y, 1) of a pixel, the corner weights over z; their sum is
1 / z. Source: Olano and Greer, Triangle Scan Conversion using 2D Homogeneous Coordinates, 1997.
"""

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

F32 = NDArray[np.float32]
I32 = NDArray[np.int32]
U8 = NDArray[np.uint8]

NEAR_M = 0.03


@njit(cache=True, nogil=True)
def _texel(buffer: U8, table: I32, texture: int, level: int, u: float, v: float, channel: int) -> float:
    """Bilinear look-up with repeat."""
    w = table[texture, level, 1]
    h = table[texture, level, 2]
    base = table[texture, level, 0]
    x = u * w - 0.5
    y = v * h - 0.5
    x0 = math.floor(x)
    y0 = math.floor(y)
    fx = x - x0
    fy = y - y0
    xa = int(x0) % w
    ya = int(y0) % h
    xb = (xa + 1) % w
    yb = (ya + 1) % h
    top = buffer[base + (ya * w + xa) * 4 + channel] * (1 - fx) + buffer[base + (ya * w + xb) * 4 + channel] * fx
    low = buffer[base + (yb * w + xa) * 4 + channel] * (1 - fx) + buffer[base + (yb * w + xb) * 4 + channel] * fx
    return float(top * (1 - fy) + low * fy)


@njit(cache=True, nogil=True)
def rasterise(
    points: F32, uv: F32, material: I32, texture_of: I32, cutout: NDArray[np.bool_], buffer: U8, table: I32,
    height: int, width: int, focal: float, cx: float, cy: float,
) -> tuple[F32, I32, F32, F32]:  # fmt: skip
    """Find the nearest triangle of every pixel.

    Args:
        points: [F, 3, 3] corners in camera space: x right, y down, z forward, metres.
        uv: [F, 3, 2] texture coordinates.
        material: [F] material of every triangle.
        texture_of: [M] texture of every material, -1 for none.
        cutout: [M] True where the texture's alpha below one half is a hole.
        buffer: Texels of all mip levels.
        table: [T, levels, 3] offset, width and height of every level.
        height: Rows.
        width: Columns.
        focal: Focal length in pixels.
        cx: Column of the optical axis, pixel centres are integers.
        cy: Row of the optical axis.

    Returns:
        [H, W] inverse depth (0 where nothing is hit), triangle (-1 for none), weights of the second and third corner.
    """
    invz = np.zeros((height, width), np.float32)
    face = np.full((height, width), -1, np.int32)
    wb = np.zeros((height, width), np.float32)
    wc = np.zeros((height, width), np.float32)
    for f in range(points.shape[0]):
        x_lo = 1e9
        x_hi = -1e9
        y_lo = 1e9
        y_hi = -1e9
        seen = 0
        for i in range(3):
            j = (i + 1) % 3
            za = points[f, i, 2]
            zb = points[f, j, 2]
            if za >= NEAR_M:
                seen += 1
                px = points[f, i, 0] / za * focal + cx
                py = points[f, i, 1] / za * focal + cy
                x_lo = min(x_lo, px)
                x_hi = max(x_hi, px)
                y_lo = min(y_lo, py)
                y_hi = max(y_hi, py)
            if (za < NEAR_M) != (zb < NEAR_M):
                t = (NEAR_M - za) / (zb - za)
                px = (points[f, i, 0] + t * (points[f, j, 0] - points[f, i, 0])) / NEAR_M * focal + cx
                py = (points[f, i, 1] + t * (points[f, j, 1] - points[f, i, 1])) / NEAR_M * focal + cy
                x_lo = min(x_lo, px)
                x_hi = max(x_hi, px)
                y_lo = min(y_lo, py)
                y_hi = max(y_hi, py)
        if seen == 0 or x_hi < 0 or y_hi < 0 or x_lo > width - 1 or y_lo > height - 1:
            continue
        c0 = max(0, math.ceil(max(x_lo, -1.0) - 1e-4))
        c1 = min(width - 1, math.floor(min(x_hi, width + 1.0) + 1e-4))
        r0 = max(0, math.ceil(max(y_lo, -1.0) - 1e-4))
        r1 = min(height - 1, math.floor(min(y_hi, height + 1.0) + 1e-4))
        if c0 > c1 or r0 > r1:
            continue
        ax = float(points[f, 0, 0])
        ay = float(points[f, 0, 1])
        az = float(points[f, 0, 2])
        bx = float(points[f, 1, 0])
        by = float(points[f, 1, 1])
        bz = float(points[f, 1, 2])
        kx = float(points[f, 2, 0])
        ky = float(points[f, 2, 1])
        kz = float(points[f, 2, 2])
        # rows of the adjugate: B x C, C x A, A x B
        e0x = by * kz - bz * ky
        e0y = bz * kx - bx * kz
        e0z = bx * ky - by * kx
        det = ax * e0x + ay * e0y + az * e0z
        if abs(det) < 1e-14:
            continue
        s = 1.0 / det
        e0x *= s
        e0y *= s
        e0z *= s
        e1x = (ky * az - kz * ay) * s
        e1y = (kz * ax - kx * az) * s
        e1z = (kx * ay - ky * ax) * s
        e2x = (ay * bz - az * by) * s
        e2y = (az * bx - ax * bz) * s
        e2z = (ax * by - ay * bx) * s
        m = material[f]
        holes = cutout[m]
        for r in range(r0, r1 + 1):
            dy = (r - cy) / focal
            for c in range(c0, c1 + 1):
                dx = (c - cx) / focal
                a = e0x * dx + e0y * dy + e0z
                b = e1x * dx + e1y * dy + e1z
                g = e2x * dx + e2y * dy + e2z
                if a < 0 or b < 0 or g < 0:
                    continue
                total = a + b + g
                if total <= invz[r, c] or total > 1.0 / NEAR_M:
                    continue
                b /= total
                g /= total
                if holes:
                    a = 1 - b - g
                    u = uv[f, 0, 0] * a + uv[f, 1, 0] * b + uv[f, 2, 0] * g
                    v = uv[f, 0, 1] * a + uv[f, 1, 1] * b + uv[f, 2, 1] * g
                    if _texel(buffer, table, texture_of[m], 0, u, v, 3) < 127.5:
                        continue
                invz[r, c] = total
                face[r, c] = f
                wb[r, c] = b
                wc[r, c] = g
    return invz, face, wb, wc


@njit(cache=True, nogil=True)
def shade(
    invz: F32, face: I32, wb: F32, wc: F32, points: F32, normals: F32, uv: F32, material: I32,
    texture_of: I32, colour: F32, gloss: F32, glow: F32, buffer: U8, table: I32,
    focal: float, cx: float, cy: float,
    light_position: F32, light_colour: F32, falloff: float, fill_direction: F32, fill_colour: F32,
    up: F32, sky_light: F32, ground_light: F32,
    shadow: F32, to_light: F32, shadow_focal: float, fog_colour: F32, fog_density: float, picture: F32,
) -> None:  # fmt: skip
    """Colour every pixel that has a triangle, in place of what ``picture`` [H, W, 3] holds (the sky).

    All places and directions are in camera space; ``to_light`` [3, 4] takes camera space into the main light's space.
    """
    height, width = invz.shape
    levels = table.shape[1]
    size = shadow.shape[0]
    half = (size - 1) / 2.0
    for r in range(height):
        for c in range(width):
            f = face[r, c]
            if f < 0:
                continue
            z = 1.0 / invz[r, c]
            x = (c - cx) / focal * z
            y = (r - cy) / focal * z
            b = wb[r, c]
            g = wc[r, c]
            a = 1 - b - g
            m = material[f]
            nx = normals[f, 0, 0] * a + normals[f, 1, 0] * b + normals[f, 2, 0] * g
            ny = normals[f, 0, 1] * a + normals[f, 1, 1] * b + normals[f, 2, 1] * g
            nz = normals[f, 0, 2] * a + normals[f, 1, 2] * b + normals[f, 2, 2] * g
            n = math.sqrt(nx * nx + ny * ny + nz * nz) + 1e-9
            if nx * x + ny * y + nz * z > 0:
                n = -n
            nx /= n
            ny /= n
            nz /= n
            red = colour[m, 0]
            green = colour[m, 1]
            blue = colour[m, 2]
            t = texture_of[m]
            if t >= 0:
                u = uv[f, 0, 0] * a + uv[f, 1, 0] * b + uv[f, 2, 0] * g
                v = uv[f, 0, 1] * a + uv[f, 1, 1] * b + uv[f, 2, 1] * g
                # texels a pixel: texture area over triangle area, stretched by distance and slant
                e1x = points[f, 1, 0] - points[f, 0, 0]
                e1y = points[f, 1, 1] - points[f, 0, 1]
                e1z = points[f, 1, 2] - points[f, 0, 2]
                e2x = points[f, 2, 0] - points[f, 0, 0]
                e2y = points[f, 2, 1] - points[f, 0, 1]
                e2z = points[f, 2, 2] - points[f, 0, 2]
                qx = e1y * e2z - e1z * e2y
                qy = e1z * e2x - e1x * e2z
                qz = e1x * e2y - e1y * e2x
                area = math.sqrt(qx * qx + qy * qy + qz * qz) + 1e-12
                distance = math.sqrt(x * x + y * y + z * z)
                slant = max(abs(qx * x + qy * y + qz * z) / (area * distance), 0.15)
                du1 = uv[f, 1, 0] - uv[f, 0, 0]
                dv1 = uv[f, 1, 1] - uv[f, 0, 1]
                du2 = uv[f, 2, 0] - uv[f, 0, 0]
                dv2 = uv[f, 2, 1] - uv[f, 0, 1]
                texels = abs(du1 * dv2 - du2 * dv1) * table[t, 0, 1] * table[t, 0, 2]
                lod = 0.5 * math.log2(texels / area / slant * (z / focal) * (z / focal) + 1e-9)
                level = int(min(max(lod + 0.5, 0.0), levels - 1.0))
                red *= (_texel(buffer, table, t, level, u, v, 0) / 255.0) ** 2
                green *= (_texel(buffer, table, t, level, u, v, 1) / 255.0) ** 2
                blue *= (_texel(buffer, table, t, level, u, v, 2) / 255.0) ** 2
            lx = light_position[0] - x
            ly = light_position[1] - y
            lz = light_position[2] - z
            ld = math.sqrt(lx * lx + ly * ly + lz * lz) + 1e-9
            lx /= ld
            ly /= ld
            lz /= ld
            facing = max(nx * lx + ny * ly + nz * lz, 0.0)
            lit = 1.0
            if facing > 0:
                sx = to_light[0, 0] * x + to_light[0, 1] * y + to_light[0, 2] * z + to_light[0, 3]
                sy = to_light[1, 0] * x + to_light[1, 1] * y + to_light[1, 2] * z + to_light[1, 3]
                sz = to_light[2, 0] * x + to_light[2, 1] * y + to_light[2, 2] * z + to_light[2, 3]
                if sz > NEAR_M:
                    px = sx / sz * shadow_focal + half
                    py = sy / sz * shadow_focal + half
                    i = int(px)
                    j = int(py)
                    if 0 <= i < size - 1 and 0 <= j < size - 1:
                        limit = 1.0 / sz * (1.004 + 0.012 * (1 - facing)) + 1e-6
                        fx = px - i
                        fy = py - j
                        s00 = 1.0 if shadow[j, i] <= limit else 0.0
                        s01 = 1.0 if shadow[j, i + 1] <= limit else 0.0
                        s10 = 1.0 if shadow[j + 1, i] <= limit else 0.0
                        s11 = 1.0 if shadow[j + 1, i + 1] <= limit else 0.0
                        lit = (s00 * (1 - fx) + s01 * fx) * (1 - fy) + (s10 * (1 - fx) + s11 * fx) * fy
            power = lit / (1.0 + falloff * ld * ld)
            dn = math.sqrt(x * x + y * y + z * z)
            hx = lx - x / dn
            hy = ly - y / dn
            hz = lz - z / dn
            hn = math.sqrt(hx * hx + hy * hy + hz * hz) + 1e-9
            shine = gloss[m] * max((nx * hx + ny * hy + nz * hz) / hn, 0.0) ** 40 * power
            fill = max(nx * fill_direction[0] + ny * fill_direction[1] + nz * fill_direction[2], 0.0)
            height_share = 0.5 + 0.5 * (nx * up[0] + ny * up[1] + nz * up[2])
            fog = 1.0 - math.exp(-fog_density * dn)
            for k in range(3):
                light = (
                    light_colour[k] * facing * power
                    + fill_colour[k] * fill
                    + sky_light[k] * height_share
                    + ground_light[k] * (1 - height_share)
                )
                light = max(light, glow[m])
                albedo = red if k == 0 else (green if k == 1 else blue)
                value = albedo * light + shine * light_colour[k]
                picture[r, c, k] = value * (1 - fog) + fog_colour[k] * fog


@njit(cache=True, nogil=True)
def crevices(invz: F32, focal: float, radius_m: float, strength: float, picture: F32) -> None:
    """Darken, in place, what neighbours within ``radius_m`` hide from the light: contact shadows."""
    height, width = invz.shape
    for r in range(height):
        for c in range(width):
            w = invz[r, c]
            if w <= 0:
                continue
            z = 1.0 / w
            reach = min(max(radius_m * focal * w, 2.0), 40.0)
            hidden = 0.0
            for k in range(8):
                angle = k * 0.7854 + ((r * 7 + c * 13) % 8) * 0.098
                share = 0.35 + 0.65 * (((k * 5 + r * 3 + c) % 8) / 8.0)
                i = r + int(reach * share * math.sin(angle))
                j = c + int(reach * share * math.cos(angle))
                if 0 <= i < height and 0 <= j < width and invz[i, j] > 0:
                    near = z - 1.0 / invz[i, j]
                    i2 = 2 * r - i
                    j2 = 2 * c - j
                    if 0 <= i2 < height and 0 <= j2 < width and invz[i2, j2] > 0:
                        near += z - 1.0 / invz[i2, j2]  # a plane cancels itself
                    if near > 0.01 * z:
                        hidden += max(0.0, 1.0 - near / (2.0 * radius_m))
            dark = 1.0 - strength * hidden / 8.0
            for k in range(3):
                picture[r, c, k] *= dark
