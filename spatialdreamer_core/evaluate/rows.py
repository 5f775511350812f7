"""One row for every clip and method, and the Parquet file of them."""

from spatialdreamer_core.metrics.comfort import LOSSES
from spatialdreamer_core.store.rows import COUNT, REAL, TEXT, TEXTS, RowTable, table_schema

SCHEMA_VERSION = "1.1"
VERSION_KEY = b"spatialdreamer.evaluation_version"

_IDENTITY = {
    "schema_version": TEXT,
    "clip": TEXT,
    "domain": TEXT,  # indoor, driving, ...; null where nobody said
    "method": TEXT,
    "protocol": TEXT,  # true-disparity or own-depth
    "row_key": TEXT,  # of material, method, settings and weights: the same work has the same key
    "settings": TEXT,  # canonical JSON of the run's settings
    "status": TEXT,  # done: a failed evaluation writes no table
    "code_version": TEXT,
    "lpips_weights": TEXT,  # digests, null where not measured
    "i3d_weights": TEXT,
    "flow_weights": TEXT,  # of networks that find motion or disparity; null where none does
    "depth_digest": TEXT,  # own-depth: of the estimator's weights and code
    "refine_digest": TEXT,  # of the network's weights and code; null where none paints
}
_WHAT = {
    "frames": COUNT,
    "width": COUNT,
    "height": COUNT,
    "disparity_from": TEXT,  # given or matched
    "eye_order": TEXT,  # of the true pair as found: right, swapped (then exchanged) or unknown
    "made_order": TEXT,  # of the left view and the made one
    "hole_interior_share": REAL,
    "hole_border_share": REAL,
    "scale_strength_pct": REAL,  # own-depth: what the search found
    "scale_offset_pct": REAL,
    "scale_rmse_px": REAL,
    "notes": TEXTS,
}
_MEASURES = {
    "psnr": REAL,  # dB, whole picture; 100 where frames are equal
    "ssim": REAL,
    "ms_ssim": REAL,
    "siou": REAL,
    "psnr_seen": REAL,  # outside all holes
    "psnr_hole": REAL,  # in all of them
    "psnr_hole_interior": REAL,
    "psnr_hole_border": REAL,
    **{
        f"lpips_{network}{part}": REAL
        for network in ("alex", "vgg")
        for part in ("", "_hole", "_hole_interior", "_hole_border")
    },
    "e_warp": REAL,  # Lai et al., RGB in [0, 1], squared; papers print it times 1000
    "e_warp_hole": REAL,
    "e_warp_true": REAL,  # of the true right view: the floor
    "epe_px": REAL,  # disparity matched in the made pair against the true one
    "d1": REAL,
    "match_coverage": REAL,
    "vertical_mean_px": REAL,
    "vertical_p95_px": REAL,
    "luma_diff": REAL,  # made less left, levels
    "chroma_diff": REAL,
    "sharpness_ratio": REAL,
    "flicker": REAL,  # mean |step| of the luma difference, levels
    "seam_step": REAL,  # at window seams
    "seam_ratio": REAL,  # over the ordinary step
    "comfort_score": REAL,
    **{f"comfort_loss_{name}": REAL for name in LOSSES},
}

EVALUATION_SCHEMA = table_schema(
    _IDENTITY | _WHAT | _MEASURES,
    frozenset({"schema_version", "clip", "method", "protocol", "row_key", "status"}),
    VERSION_KEY,
    SCHEMA_VERSION,
)
EVALUATION = RowTable(
    schema=EVALUATION_SCHEMA,
    schema_name="evaluate.rows.EVALUATION_SCHEMA",
    version=SCHEMA_VERSION,
    version_key=VERSION_KEY,
    statuses=("done",),
    identity=("clip", "method", "protocol"),
    better=(("row_key", "ascending"),),
)
MEASURES = tuple(_MEASURES)
