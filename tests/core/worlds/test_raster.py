import math

import numpy as np
import pytest

from spatialdreamer_core.worlds import textures
from spatialdreamer_core.worlds.mesh import blob, box, join, quad, tube
from spatialdreamer_core.worlds.raster import rasterise
from spatialdreamer_core.worlds.scene import Air, Light, Materials, Scene, flow_between, look, render

H, W = 36, 52


def vec(*values):
    return np.array(values, np.float32)


def plain_scene(mesh, colours, pictures=()):
    bank = textures.TextureBank()
    numbers = [bank.add(p) for p in pictures]
    count = len(colours)
    texture = np.array([numbers[i] if i < len(numbers) else -1 for i in range(count)], np.int32)
    materials = Materials(
        np.array(colours, np.float32), np.zeros(count, np.float32), np.zeros(count, np.float32), texture, bank
    )
    light = Light(
        vec(0, 5, -5), vec(0, 0, 4), vec(1, 1, 1), 0.0, 60.0, vec(0, 0, -1), vec(0, 0, 0), vec(0.5, 0.5, 0.5),
        vec(0.5, 0.5, 0.5), 0.0,
    )  # fmt: skip
    return Scene(mesh, materials, light, Air(np.full((8, 16, 3), 0.2, np.float32), 0.0, 0.0))


def ahead(height=H, width=W):
    return look(vec(0, 0, 0), vec(0, 0, 1), view_deg=60, height=height, width=width)


def loop_inverse_depth(points, focal, height, width):
    """Ray by ray, triangle by triangle (Moeller and Trumbore)."""
    out = np.zeros((height, width))
    for r in range(height):
        for c in range(width):
            ray = np.array([(c - (width - 1) / 2) / focal, (r - (height - 1) / 2) / focal, 1.0])
            for a, b, g in points.astype(np.float64):
                e1, e2 = b - a, g - a
                p = np.cross(ray, e2)
                det = e1 @ p
                if abs(det) < 1e-12:
                    continue
                u = (-a @ p) / det
                q = np.cross(-a, e1)
                v = (ray @ q) / det
                z = (e2 @ q) / det
                if u >= 0 and v >= 0 and u + v <= 1 and z > 0.03:
                    out[r, c] = max(out[r, c], 1 / z)
    return out


def test_depth_is_that_of_ray_casting_also_behind_and_beside_the_camera():
    rng = np.random.default_rng(3)
    points = (rng.normal(size=(14, 3, 3)) * [1.5, 1.0, 2.0] + [0, 0, 2.5]).astype(np.float32)
    uv = np.zeros((14, 3, 2), np.float32)
    none = np.zeros(14, np.int32), np.array([-1], np.int32), np.array([False])
    table = np.zeros((1, textures.LEVELS, 3), np.int32)
    found, face, _, _ = rasterise(points, uv, *none, np.zeros(4, np.uint8), table, 21, 30, 25.0, 14.5, 10.0)
    wanted = loop_inverse_depth(points, 25.0, 21, 30)
    assert (points[..., 2] < 0).any()
    assert np.allclose(found, wanted, atol=2e-4)
    assert ((face >= 0) == (wanted > 0)).all()


def test_a_wall_has_one_depth_and_the_sky_has_none():
    wall = quad(vec(-0.5, 0.5, 4), vec(1, 0, 0), vec(0, -1, 0), 0)
    out = render(plain_scene(wall, [(0.5, 0.5, 0.5)]), ahead())
    assert out.inverse_depth[H // 2, W // 2] == pytest.approx(0.25, rel=1e-5)
    assert out.inverse_depth[0, 0] == 0
    assert out.triangle[0, 0] == -1
    assert set(np.round(np.unique(out.inverse_depth), 5)) == {0.0, 0.25}


def test_up_is_up_and_right_is_right():
    lamp = box(vec(1.0, 1.0, 4), vec(0.6, 0.6, 0.6), 0)
    seen = render(plain_scene(lamp, [(1, 0, 0)]), ahead()).inverse_depth > 0
    rows, columns = np.nonzero(seen)
    assert rows.max() < H / 2
    assert columns.min() > W / 2


def test_the_right_eye_sees_the_near_moved_left_by_focal_times_baseline_over_depth():
    wall = quad(vec(-3, 3, 4), vec(6, 0, 0), vec(0, -6, 0), 0)
    camera = ahead()
    right = camera.stepped(right_m=0.1)
    scene = plain_scene(wall, [(0.5, 0.5, 0.5)])
    flow, seen = flow_between(render(scene, camera), camera, right, render(scene, right))
    assert np.allclose(flow[..., 0], -camera.focal_px * 0.1 / 4, atol=1e-3)
    assert np.allclose(flow[..., 1], 0, atol=1e-3)
    assert seen[:, 5:].all()
    assert not seen[:, 0].any()


def test_what_a_near_thing_hides_in_the_other_view_is_told():
    wall = quad(vec(-6, 6, 6), vec(12, 0, 0), vec(0, -12, 0), 0)
    post = quad(vec(-0.3, 3, 2), vec(0.6, 0, 0), vec(0, -6, 0), 1)
    camera = ahead()
    right = camera.stepped(right_m=0.3)
    scene = plain_scene(join([wall, post]), [(0.5, 0.5, 0.5), (1, 0, 0)])
    first, second = render(scene, camera), render(scene, right)
    _, seen = flow_between(first, camera, right, second)
    row = H // 2
    on_post = np.nonzero(first.inverse_depth[row] > 0.4)[0]
    assert not seen[row, on_post[0] - 2]
    assert seen[row, on_post].all()
    assert seen[row, on_post[-1] + 3]


def test_a_cut_out_texture_has_real_holes():
    stripes = np.full((8, 8, 4), 255, np.uint8)
    stripes[:, 4:, 3] = 0
    fence = quad(vec(-2, 2, 3), vec(4, 0, 0), vec(0, -4, 0), 0, (4, 4))
    out = render(plain_scene(fence, [(1, 1, 1)], [stripes]), ahead())
    share = (out.inverse_depth > 0).mean()
    assert 0.35 < share < 0.65


def test_shapes_are_where_they_are_said_to_be():
    ball = blob(vec(0, 0, 5), vec(1, 1, 1), 0, parts=24)
    bar = tube(vec(0, -1, 5), vec(0, 1, 5), (0.2, 0.1), 0)
    cube = box(vec(2, 0, 5), vec(1, 2, 3), 0)
    assert np.allclose(np.linalg.norm(ball.points - [0, 0, 5], axis=-1), 1, atol=1e-4)
    assert bar.points[..., 1].min() == pytest.approx(-1, abs=1e-5)
    assert np.ptp(cube.points.reshape(-1, 3), axis=0) == pytest.approx([1, 2, 3], abs=1e-5)


def test_turning_and_moving_a_mesh_keeps_its_size():
    cube = box(vec(0, 0, 0), vec(1, 2, 3), 0)
    moved = cube.moved(scale=2, turn_rad=math.pi / 2, to=(1, 0, 0))
    assert np.ptp(moved.points.reshape(-1, 3), axis=0) == pytest.approx([6, 4, 2], abs=1e-4)


def test_the_same_scene_gives_the_same_bytes():
    scene = plain_scene(blob(vec(0, 0, 3), vec(1, 0.7, 1), 0, rough=0.3, seed=5), [(0.6, 0.5, 0.4)])
    one, two = render(scene, ahead()), render(scene, ahead())
    assert one.picture.tobytes() == two.picture.tobytes()
    assert one.inverse_depth.tobytes() == two.inverse_depth.tobytes()
