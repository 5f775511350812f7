"""The ``spatialdreamer`` command: its parts are in ``flows/commands``."""

import logging

import typer

from flows.commands import (
    convert,
    dashboard,
    depth,
    doctor,
    evaluate,
    gc,
    make_pairs,
    pairs,
    probe,
    quarantine,
    report,
    train,
    verify,
    weights,
)
from flows.commands.train_depth import train_depth_app
from spatialdreamer_core import __version__

app = typer.Typer(
    name="spatialdreamer", no_args_is_help=True, rich_markup_mode="markdown", pretty_exceptions_enable=False
)


@app.callback()
def common(
    verbose: bool = typer.Option(False, "--verbose", "-v", help="Say what goes on inside."),
) -> None:
    """Turn flat video into stereo video: one file, a folder, or a library on any fsspec storage."""
    level = logging.DEBUG if verbose else logging.WARNING
    logging.basicConfig(level=level, format="%(levelname)s %(name)s: %(message)s")
    for noisy in ("numba", "libav", "fsspec", "asyncio"):
        logging.getLogger(noisy).setLevel(logging.ERROR)


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(__version__)


app.command("convert")(convert.convert)
app.command("report")(report.report)
app.command("dashboard")(dashboard.dashboard)
app.command("depth")(depth.depth)
app.command("make-pairs")(make_pairs.make_pairs)
app.command("verify")(verify.verify)
app.command("gc")(gc.gc)
app.add_typer(pairs.app, name="pairs")
app.command("evaluate")(evaluate.evaluate)
app.command("probe")(probe.probe)
app.command("doctor")(doctor.doctor)
app.add_typer(quarantine.app, name="quarantine")
app.add_typer(weights.app, name="weights")
app.command("train")(train.train)
app.add_typer(train_depth_app, name="train-depth")


def main() -> None:
    """Entry point of the ``spatialdreamer`` script."""
    app()


if __name__ == "__main__":
    main()
