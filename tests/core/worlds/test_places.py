import numpy as np
import pytest

from spatialdreamer_core.training.depth.generate import GenerateConfig, defocus, draw
from spatialdreamer_core.worlds import places
from spatialdreamer_core.worlds.assets import Assets, read_assets
from spatialdreamer_core.worlds.furniture import read_catalogue, read_model
from spatialdreamer_core.worlds.scene import render

CATALOGUE = """id#1=Some#cup
name#1=Cup
category#1=Kitchen
model#1=/cup/cup.obj
width#1=10
depth#1=20
height#1=30
creator#1=Somebody
"""
OBJ = """mtllib cup.mtl
v 0 0 0
v 2 0 0
v 2 2 0
v 0 2 4
vt 0 0
vt 1 0
vt 1 1
usemtl red
f 1/1 2/2 3/3
usemtl glass
f 1/1 3/2 4/3
usemtl red
f 2 3 4
"""
MTL = "newmtl red\nKd 0.9 0.1 0.1\nKs 0.5 0.5 0.5\nnewmtl glass\nd 0.2\n"


@pytest.mark.parametrize("name", sorted(places.PLACES))
def test_every_place_can_be_built_without_assets_and_seen(name):
    rng = np.random.default_rng(4)
    place = places.PLACES[name][0](rng, Assets())
    scene, camera = places.take_view(place, rng, height=24, width=40)
    out = render(scene, camera, supersample=1, shadow_side=64)
    assert out.picture.shape == (24, 40, 3)
    assert np.isfinite(out.inverse_depth).all()
    assert (out.inverse_depth > 0).any()


def test_a_seed_names_a_scene():
    config = GenerateConfig(height=32, width=48, views=2)
    one, two, other = (draw(seed, Assets(), config) for seed in (11, 11, 12))
    assert all((a == b).all() for a, b in zip(one[0], two[0], strict=True))
    assert all((a == b).all() for a, b in zip(one[1], two[1], strict=True))
    assert (one[0][0] != other[0][0]).any()


def test_visitors_of_one_view_do_not_stay_for_the_next():
    rng = np.random.default_rng(0)
    place = places.table(rng, Assets())
    before = len(place.builder.meshes)
    for _ in range(6):
        places.take_view(place, rng, height=16, width=24)
    assert len(place.builder.meshes) == before


def test_a_model_is_read_at_its_true_size_and_without_its_glass(tmp_path):
    (tmp_path / "cup").mkdir()
    (tmp_path / "PluginFurnitureCatalog.properties").write_text(CATALOGUE)
    (tmp_path / "cup" / "cup.obj").write_text(OBJ)
    (tmp_path / "cup" / "cup.mtl").write_text(MTL)
    (card,) = read_catalogue(tmp_path)
    model = read_model(card)
    assert model is not None
    assert len(model.mesh) == 2
    assert np.ptp(model.mesh.points.reshape(-1, 3), axis=0) == pytest.approx([0.1, 0.3, 0.2], abs=1e-5)
    assert model.mesh.points[..., 1].min() == pytest.approx(0, abs=1e-6)
    assert sum(len(c) for c in read_assets([], [], tmp_path.parent).cards.values()) >= 1


def test_defocus_keeps_what_is_in_focus():
    rng = np.random.default_rng(1)
    picture = rng.integers(0, 255, (40, 60, 3), np.uint8)
    depth = np.full((40, 60), 0.1, np.float32)
    depth[:, :30] = 1.0
    soft = defocus(picture, depth, 1.0, 6.0)
    assert np.abs(soft[:, :15].astype(int) - picture[:, :15]).max() <= 1
    assert soft[:, 45:].std() < 0.6 * picture[:, 45:].std()
