import numpy as np
import pytest

from spatialdreamer_core.refine.protocol import Patch


def test_a_patch_of_another_shape_or_kind_than_its_weights_is_refused():
    rgb = np.zeros((3, 4, 6), np.float32)
    assert Patch(0, 0, rgb, np.ones((4, 6), np.float32)).rgb is rgb
    with pytest.raises(ValueError, match=r"weights must be float32 \[4, 6\] like the patch, got float32 \[6, 4\]"):
        Patch(0, 0, rgb, np.ones((6, 4), np.float32))
    with pytest.raises(ValueError, match=r"a patch must be float32 \[3, h, w\], got float64 \[3, 4, 6\]"):
        Patch(0, 0, rgb.astype(np.float64), np.ones((4, 6), np.float32))
    with pytest.raises(ValueError, match=r"a patch must be float32 \[3, h, w\], got float32 \[4, 6, 3\]"):
        Patch(0, 0, np.zeros((4, 6, 3), np.float32), np.ones((4, 6), np.float32))
