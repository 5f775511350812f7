"""The whole evaluation: every clip by every method, kept row by row, published as tables only when it is whole."""

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from spatialdreamer_core import __version__
from spatialdreamer_core.config import DepthConfig
from spatialdreamer_core.depth.protocol import DepthEstimator
from spatialdreamer_core.depth.registry import create_depth_estimator
from spatialdreamer_core.errors import MaterialError
from spatialdreamer_core.evaluate.clip import StereoClip, load_clip
from spatialdreamer_core.evaluate.config import IDENTITY, MEASURE_VERSION, EvaluateConfig, Method
from spatialdreamer_core.evaluate.frames_in import Clip
from spatialdreamer_core.evaluate.material import ClipRef
from spatialdreamer_core.evaluate.measure import Networks, measure_clip
from spatialdreamer_core.evaluate.own_depth import OwnDepth, Scale, find_scale, own_depth
from spatialdreamer_core.evaluate.render import open_refiner, ready_views, render_right, view_files
from spatialdreamer_core.evaluate.rows import EVALUATION
from spatialdreamer_core.evaluate.table import latex, markdown
from spatialdreamer_core.metrics.fvd import TRUSTED_CLIPS, frechet_distance
from spatialdreamer_core.refine.protocol import Refiner
from spatialdreamer_core.store.place import Place, canonical_json
from spatialdreamer_core.store.rows import table_bytes

EVALUATION_FILE, MARKDOWN_FILE, LATEX_FILE = "evaluation.parquet", "table.md", "table.tex"
WORK = ".spatialdreamer/evaluate"
MATCHERS = {"sgm": "semi-global matching", "gmflow": "GMFlow"}

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Progress:
    """Where an evaluation stands.

    Attributes:
        clips: In all.
        clips_done: Of them, whole.
        message: What to say; empty if nothing.
    """

    clips: int
    clips_done: int
    message: str = ""


@dataclass(frozen=True, slots=True)
class Perceptual:
    """Networks and the digests of their weights.

    Attributes:
        networks: Loaded.
        lpips_weights: By network, sha256 of the weights.
        i3d_weights: sha256; None where FVD is not measured.
        flow_weights: By name of a network of optical flow, what its weights are pinned by.
    """

    networks: Networks = field(default_factory=Networks)
    lpips_weights: dict[str, str] = field(default_factory=dict)
    i3d_weights: str | None = None
    flow_weights: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Report:
    """What came of it.

    Attributes:
        clips: Evaluated.
        methods: Rows of the tables.
        rows_made: In this run; the others were there.
        seconds: Of this run.
        table: The Markdown.
    """

    clips: int
    methods: tuple[str, ...]
    rows_made: int
    seconds: float
    table: str


@dataclass(slots=True)
class Evaluation:
    """One evaluation into one place.

    Attributes:
        config: What is measured.
        clips: The material.
        place: Output folder or URL.
        perceptual: Networks.
        tell: Told of progress.
    """

    config: EvaluateConfig
    clips: Sequence[ClipRef]
    place: Place
    perceptual: Perceptual
    tell: Callable[[Progress], None] = lambda _: None
    _estimators: dict[str, DepthEstimator] = field(default_factory=dict)
    _refiners: dict[str, Refiner] = field(default_factory=dict)

    @property
    def methods(self) -> tuple[Method, ...]:
        """All rows; the identity control first, always."""
        return (IDENTITY, *(method for method in self.config.methods if method.kind != "identity"))

    def run(self) -> Report:
        """Measure what is not measured yet, then publish Parquet and tables.

        Raises:
            MaterialError: If a clip or a ready view does not fit; nothing is published then, what was measured stays.
            StoreError: If the output cannot be written.
        """
        started, made = time.monotonic(), 0
        self._check_views()
        for method in self.methods:
            self._refiner(method)  # missing weights are found before hours of work too
        rows: list[Row] = []
        features: dict[str, list[list[float]]] = {}
        for done, ref in enumerate(self.clips):
            self.tell(Progress(len(self.clips), done))
            records, new = self._clip(ref)
            made += new
            rows += [record["row"] for record in records.values()]
            for name, record in records.items():
                if record.get("i3d") is not None:
                    features.setdefault(name, []).append(record["i3d"])
        names = tuple(method.name for method in self.methods)
        fvd = self._fvd(features)
        table = markdown(rows, names, fvd, self._notes(rows, fvd))
        self.place.publish(EVALUATION_FILE, table_bytes(EVALUATION.compact([EVALUATION.from_rows(rows)])))
        self.place.publish(MARKDOWN_FILE, table.encode())
        self.place.publish(LATEX_FILE, latex(rows, names, fvd).encode())
        self.tell(Progress(len(self.clips), len(self.clips)))
        return Report(len(self.clips), names, made, time.monotonic() - started, table)

    def _check_views(self) -> None:
        """Missing ready views are found before hours of work, not after."""
        for method in self.methods:
            if method.kind == "views":
                for ref in self.clips:
                    view_files(Path(method.folder or ""), ref.name)

    def _clip(self, ref: ClipRef) -> tuple[dict[str, Row], int]:
        """Records of one clip by method, and how many of them are new."""
        content = ref.digest()
        keys = {method.name: self._key(ref, content, method) for method in self.methods}
        records = {name: record for name, key in keys.items() if (record := self._read(key)) is not None}
        missing = [method for method in self.methods if method.name not in records]
        if missing:
            records |= self._measure(ref, missing, keys)
        return {method.name: records[method.name] for method in self.methods}, len(missing)

    def _measure(self, ref: ClipRef, methods: Sequence[Method], keys: dict[str, str]) -> dict[str, Row]:
        clip = load_clip(
            ref,
            start=self.config.start_frame,
            count=self.config.frames,
            exchange_swapped=self.config.exchange_swapped,
        )
        if self.config.fvd and len(clip.left) < self.config.frames:
            raise MaterialError(
                f"clip {ref.name}: {len(clip.left)} frames, but FVD compares clips of {self.config.frames}; give "
                "longer clips, fewer --frames, or leave FVD out"
            )
        depths: dict[str, OwnDepth] = {}
        views: dict[str, Clip] = {}
        scales: dict[str, Scale] = {}
        for method in methods:
            self.tell(Progress(len(self.clips), self.clips.index(ref), f"{ref.name}: {method.name}"))
            if method.kind == "views":
                views[method.name] = ready_views(
                    Path(method.folder or ""), ref.name, clip.right.shape, self.config.start_frame
                )
                continue
            disparity = clip.disparity
            if self.config.protocol == "own-depth" and method.kind != "identity":
                depth = self._own_depth(clip, method, depths)
                scales[method.name] = find_scale(clip, depth, method)
                disparity = depth.disparity(scales[method.name])
            views[method.name] = render_right(clip.left, disparity, method, self._refiner(method)).frames
        measured = measure_clip(clip, views, self.config, self.perceptual.networks)
        records: dict[str, Row] = {}
        for method in methods:
            row = self._row(clip, method, keys[method.name]) | measured[method.name]
            if (scale := scales.get(method.name)) is not None:
                row |= {f"scale_{name}": value for name, value in asdict(scale).items()}
            records[method.name] = {"row": row, "i3d": self._features(views[method.name])}
        if self.config.fvd:
            truth = self._features(clip.right)
            records = {name: record | {"i3d_true": truth} for name, record in records.items()}
        for method in methods:
            EVALUATION.from_rows([records[method.name]["row"]])  # a row that does not fit must not be kept
            self.place.publish(f"{WORK}/{keys[method.name]}.json", canonical_json(records[method.name]))
        return records

    def _own_depth(self, clip: StereoClip, method: Method, depths: dict[str, OwnDepth]) -> OwnDepth:
        config = method.depth or self.config.depth
        if config.name not in depths:
            depths[config.name] = own_depth(clip.left, self._estimator(config), config)
        return depths[config.name]

    def _estimator(self, config: DepthConfig) -> DepthEstimator:
        if config.name not in self._estimators:
            self._estimators[config.name] = create_depth_estimator(config)
        return self._estimators[config.name]

    def _depth_digest(self, method: Method) -> str | None:
        if self.config.protocol != "own-depth" or method.kind not in ("warp", "fill"):
            return None
        return self._estimator(method.depth or self.config.depth).digest

    def _refiner(self, method: Method) -> Refiner | None:
        if method.refine is None:
            return None
        if method.refine not in self._refiners:
            self._refiners[method.refine] = open_refiner(method.refine)
        return self._refiners[method.refine]

    def _refine_digest(self, method: Method) -> str | None:
        refiner = self._refiner(method)
        return None if refiner is None else refiner.digest

    def _features(self, views: Clip) -> list[float] | None:
        network = self.perceptual.networks.i3d
        return None if network is None else [float(value) for value in network.logits(list(views))]

    def _row(self, clip: StereoClip, method: Method, key: str) -> Row:
        notes = []
        if method.kind == "views" and self.config.protocol == "own-depth":
            notes.append("ready views are judged at the scale they came with")
        weights, flow = (
            ", ".join(f"{name} {digest[:12]}" for name, digest in sorted(digests.items()))
            for digests in (self.perceptual.lpips_weights, self.perceptual.flow_weights)
        )
        return {
            "clip": clip.ref.name,
            "domain": clip.ref.domain,
            "method": method.name,
            "protocol": self.config.protocol,
            "row_key": key,
            "settings": canonical_json(asdict(self.config)).decode(),
            "status": "done",
            "code_version": __version__,
            "lpips_weights": weights or None,
            "i3d_weights": self.perceptual.i3d_weights,
            "flow_weights": flow or None,
            "depth_digest": self._depth_digest(method),
            "refine_digest": self._refine_digest(method),
            "frames": len(clip.left),
            "width": int(clip.left.shape[2]),
            "height": int(clip.left.shape[1]),
            "disparity_from": clip.disparity_from,
            "eye_order": clip.order,
            "notes": notes,
        }

    def _key(self, ref: ClipRef, content: str, method: Method) -> str:
        """Name a row's work by everything that its figures depend on."""
        settings = asdict(self.config)
        del settings["methods"]
        made_of = {
            "version": [MEASURE_VERSION, __version__],
            "name": [ref.name, ref.domain],
            "content": content,
            "method": asdict(method),
            "settings": settings,
            "weights": [
                self.perceptual.lpips_weights,
                self.perceptual.i3d_weights,
                self.perceptual.flow_weights,
                self._depth_digest(method),
                self._refine_digest(method),
            ],
        }
        if method.kind == "views":
            total = hashlib.sha256()
            for file in view_files(Path(method.folder or ""), ref.name):
                total.update(hashlib.sha256(file.read_bytes()).digest())
            made_of["views"] = total.hexdigest()
        return hashlib.sha256(canonical_json(made_of)).hexdigest()[:32]

    def _read(self, key: str) -> Row | None:
        """A row that an earlier run kept; a torn one is made again."""
        data = self.place.read(f"{WORK}/{key}.json")
        if data is None:
            return None
        try:
            record: Row = json.loads(data)
            EVALUATION.from_rows([record["row"]])
        except (ValueError, KeyError, TypeError):
            return None
        return record

    def _fvd(self, features: dict[str, list[list[float]]]) -> dict[str, float]:
        if not self.config.fvd or len(self.clips) < 2:
            return {}
        truth = np.array([self._truth(ref) for ref in self.clips])
        return {name: frechet_distance(np.array(own), truth) for name, own in features.items()}

    def _truth(self, ref: ClipRef) -> list[float]:
        record = self._read(self._key(ref, ref.digest(), IDENTITY))
        assert record is not None, "the identity row has just been made"
        return list(record["i3d_true"])

    def _notes(self, rows: Sequence[Row], fvd: dict[str, float]) -> list[str]:
        notes = [
            f"mean over clips of the mean over frames; up to {self.config.frames} frames a clip; PSNR of equal frames "
            "counts 100 dB",
            "identity is the left view itself: a control, not a competitor; it wins what a copy can win",
            "interior holes lie between things, the border strip was never in the left view; both by the true pair's "
            "disparity, the same for every method",
            "LPIPS inside a mask is the mean of its full-size map there; alex if no network is named, version 0.1",
            f"E*_warp is Lai et al.'s error times 1000, RGB in [0, 1], flow by {self.config.flow} on the left view, "
            "carried by disparity",
            f"EPE and D1: disparity by {MATCHERS[self.config.matcher]} in the made pair against that in the true pair",
        ]
        floors = [row["e_warp_true"] for row in rows if row.get("e_warp_true") is not None]
        if floors:
            notes.append(f"E*_warp of the true right views: {1000 * sum(floors) / len(floors):.3f}")
        matched = sorted({row["clip"] for row in rows if row["disparity_from"] == "matched"})
        if matched:
            notes.append(f"no disparity was given, it was matched: {', '.join(matched)}")
        if unknown := sorted({row["clip"] for row in rows if row["eye_order"] == "unknown"}):
            notes.append(f"whether the eyes are in order could not be told: {', '.join(unknown)}")
        if swapped := sorted({row["clip"] for row in rows if row["eye_order"] == "swapped"}):
            notes.append(f"the eyes were swapped and have been exchanged: {', '.join(swapped)}")
        bare = {
            method.name for method in self.methods if method.kind == "warp"
        }  # black holes have no colour to tell by
        if wrong := sorted({row["method"] for row in rows if row.get("made_order") == "swapped"} - bare):
            notes.append(f"some made views look as if their eyes were swapped: {', '.join(wrong)}")
        if self.config.protocol == "own-depth":
            notes.append(
                "one scale and one offset per clip and method, searched for the least RMSE of matched disparity"
            )
        if fvd:
            notes.append(
                f"FVD, I3D Kinetics-400 logits (weights {str(self.perceptual.i3d_weights)[:12]}), {len(self.clips)} "
                f"clips of {self.config.frames} frames"
                + ("; biased upwards for so few clips" if len(self.clips) < TRUSTED_CLIPS else "")
            )
        elif self.config.fvd:
            notes.append("FVD needs at least two clips")
        return notes
