"""``spatialdreamer train``: every option, laid over a settings file, becomes one TrainRunConfig."""

import json
import sys
from dataclasses import asdict
from typing import Annotated, Any, Literal

import typer
from rich.console import Console

from flows.commands.exits import INTERRUPTED, stop, told
from flows.commands.options import RUN, AsJson, Prefect, Quiet, RayAddress, Settings
from flows.config import merge, read_settings
from flows.progress import choose_mode, duration
from flows.train_config import TrainRunConfig, train_run_config
from flows.train_progress import Listener, train_shown
from spatialdreamer_core.training.stereo.config import Device, Schedule, Size
from spatialdreamer_core.training.stereo.progress import TrainReport

WHAT, HOW, WHEN = "What to train", "How to train", "When to look up"
StageName = Literal["1", "2"]


def train(
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", help="Folder or fsspec URL for weights and checkpoints.", show_default=False),
    ] = None,
    pairs: Annotated[
        str | None,
        typer.Option(help="Output of make-pairs: a folder or URL.", rich_help_panel=WHAT, show_default=False),
    ] = None,
    stage: Annotated[
        StageName | None,
        typer.Option(help="1: frames. 2: clips; only what connects frames is trained. [1]", rich_help_panel=WHAT),
    ] = None,
    size: Annotated[
        Size | None,
        typer.Option(help="mini (runs on a laptop) or svd (full size, needs a GPU). [mini]", rich_help_panel=WHAT),
    ] = None,
    start_from: Annotated[
        str | None,
        typer.Option(help="Weights to begin with: stage 1's for stage 2.", rich_help_panel=WHAT, show_default=False),
    ] = None,
    pictures: Annotated[
        str | None,
        typer.Option(
            help="Also pictures with exact depth, made into pairs: a folder of `train-depth draw`.",
            rich_help_panel=WHAT,
            show_default=False,
        ),
    ] = None,
    config: Settings = None,
    steps: Annotated[
        int | None, typer.Option(help="Steps of the schedule. [mini 10000, svd 30000 and 10000]", rich_help_panel=HOW)
    ] = None,
    batch: Annotated[
        int | None, typer.Option(help="Samples of a step and process. [mini 8, svd 1]", rich_help_panel=HOW)
    ] = None,
    rate: Annotated[
        float | None, typer.Option(help="Peak learning rate. [mini 3e-4, svd 1e-5]", rich_help_panel=HOW)
    ] = None,
    schedule: Annotated[Schedule | None, typer.Option(help="[mini cosine, svd constant]", rich_help_panel=HOW)] = None,
    warmup: Annotated[
        int | None, typer.Option(help="Steps over which the rate rises. [200]", rich_help_panel=HOW)
    ] = None,
    clip: Annotated[float | None, typer.Option(help="Largest norm of the gradients. [1]", rich_help_panel=HOW)] = None,
    ema: Annotated[
        float | None,
        typer.Option(
            help="Decay per step of the averaged weights, which are written; 0: none. [0.999]", rich_help_panel=HOW
        ),
    ] = None,
    dropout: Annotated[
        float | None,
        typer.Option(help="Share of the samples that are shown without their condition. [0.1]", rich_help_panel=HOW),
    ] = None,
    half: Annotated[
        bool | None,
        typer.Option("--half/--no-half", help="bfloat16 where it is safe. [on a GPU]", rich_help_panel=HOW),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of everything that is drawn. [0]", rich_help_panel=HOW)] = None,
    minutes: Annotated[
        float | None,
        typer.Option(
            help="Leave a checkpoint and end after so long; the schedule still goes by steps.", rich_help_panel=WHEN
        ),
    ] = None,
    validate_every: Annotated[
        int | None, typer.Option(help="Steps between figures, pictures and weights. [1000]", rich_help_panel=WHEN)
    ] = None,
    save_every: Annotated[
        int | None, typer.Option(help="Steps between checkpoints. [500]", rich_help_panel=WHEN)
    ] = None,
    log_every: Annotated[
        int | None, typer.Option(help="Steps between lines of the curve. [20]", rich_help_panel=WHEN)
    ] = None,
    keep: Annotated[int | None, typer.Option(help="Checkpoints that are kept. [3]", rich_help_panel=WHEN)] = None,
    device: Annotated[
        Device | None, typer.Option(help="auto takes a GPU where there is one. [auto]", rich_help_panel=RUN)
    ] = None,
    threads: Annotated[
        int | None, typer.Option(help="Threads of torch on a CPU. [all cores]", rich_help_panel=RUN)
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            help="Processes that train together by Ray Train, each on batches of its own. [1]", rich_help_panel=RUN
        ),
    ] = None,
    gpus: Annotated[
        int | None, typer.Option(help="GPUs to train on, one worker each. [0: see --device]", rich_help_panel=RUN)
    ] = None,
    ray_address: RayAddress = None,
    prefect: Prefect = None,
    loader_threads: Annotated[
        int | None, typer.Option(help="Batches made at once beside the training. [2]", rich_help_panel=RUN)
    ] = None,
    loader_processes: Annotated[
        int | None,
        typer.Option(
            help="mini: processes that make batches of pictures; a GPU wants many. [0: a thread]", rich_help_panel=RUN
        ),
    ] = None,
    resume: Annotated[
        bool | None,
        typer.Option(
            "--resume/--no-resume",
            help="Go on from the output's last checkpoint; otherwise its checkpoints are removed. [resume]",
            rich_help_panel=RUN,
        ),
    ] = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Train the network that paints what the second eye uncovers, on pairs that make-pairs made.

    The output holds `weights/` (the averaged weights, for convert), `curve.jsonl`, `pictures/` (a sheet at every
    validation), `tensorboard/` and `checkpoints/`. A run that was interrupted, in whatever way, goes on from its last
    checkpoint when the same command is given again, and on a CPU ends in the same weights. SIGTERM and Ctrl-C leave a
    checkpoint first.

    Exit code 0: the steps are done, or the minutes are up. 130: stopped by a signal. 1: the run failed. 2: wrong
    settings.

    Examples:
        spatialdreamer train --pairs pairs --output mini-1

        spatialdreamer train --pairs pairs --stage 2 --start-from mini-1/weights --output mini-2 --minutes 60

        spatialdreamer train --pairs s3://bucket/pairs --output s3://bucket/svd-1 --size svd --ray-address auto --gpus 8
    """
    options: dict[str, Any] = {
        "output": output,
        "device": device,
        "threads": threads,
        "resume": resume,
        "workers": workers,
        "gpus": gpus,
        "ray_address": ray_address,
        "prefect": prefect,
        "pace.minutes": minutes,
        "pace.validate_every": validate_every,
        "pace.save_every": save_every,
        "pace.log_every": log_every,
        "pace.keep": keep,
        "train.size": size,
        "train.stage": None if stage is None else int(stage),
        "train.pairs": pairs,
        "train.pictures": pictures,
        "train.start_from": start_from,
        "train.steps": steps,
        "train.batch": batch,
        "train.rate": rate,
        "train.schedule": schedule,
        "train.warmup": warmup,
        "train.clip": clip,
        "train.ema": ema,
        "train.dropout": dropout,
        "train.half": half,
        "train.seed": seed,
        "train.loader_threads": loader_threads,
        "train.loader_processes": loader_processes,
    }
    with told():
        settings = merge(read_settings(config) if config else {}, options)
        checked = train_run_config(settings, str(config) if config else "settings")
        console = Console(stderr=as_json)
        with train_shown(choose_mode(console, quiet=quiet, as_json=as_json), console) as listener:
            report = _run(checked, listener)
        _tell(report, checked, console, quiet=quiet, as_json=as_json)
        if report.stopped == "signal":
            stop(INTERRUPTED, f"stopped at step {report.step} with a checkpoint; run the same command again to go on")


def _run(config: TrainRunConfig, listener: Listener) -> TrainReport:
    from infra.prefect_api import recording_wanted

    if not recording_wanted(config.prefect):
        from flows.run_train import run_train

        return run_train(config, listener)
    from flows.train import train as train_flow

    report: TrainReport = train_flow(config, listener)
    return report


def _tell(report: TrainReport, config: TrainRunConfig, console: Console, *, quiet: bool, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps({"event": "done", "samples_s": report.samples_s} | asdict(report)) + "\n")
        return
    if quiet:
        return
    figures = ", ".join(f"{name} {value:.4g}" for name, value in report.figures.items())
    loss = "" if report.loss is None else f", loss {report.loss:.4g}"
    for line in (
        f"step {report.step} of {report.steps}{loss}; {report.steps_made} steps made in {duration(report.seconds)}, "
        f"{report.samples_s:.3g} samples/s",
        *([f"  {figures}"] if figures else []),
        *(f"  {config.output}/{name}" for name in ("weights", "curve.jsonl", "pictures", "tensorboard")),
        *(["  the minutes are up: the same command goes on"] if report.stopped == "minutes" else []),
    ):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
