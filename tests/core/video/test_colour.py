import numpy as np

from spatialdreamer_core.video.colour import rgb_matrix
from spatialdreamer_core.video.rgb_planes import RGB_COLOUR, rgb_frame


def test_planes_of_green_blue_and_red_are_read_as_what_they_are() -> None:
    picture = np.array([[[255, 0, 51], [10, 20, 30]]], np.uint8)
    matrix, offset = rgb_matrix(8, RGB_COLOUR, 720)
    planes = np.stack(rgb_frame(picture).planes).astype(float)
    rgb = np.einsum("ij,jhw->hwi", matrix, planes - offset[:, None, None])
    np.testing.assert_allclose(rgb, picture / 255)
