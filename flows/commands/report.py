"""``spatialdreamer report``: one page about a conversion, from its manifest."""

from pathlib import Path
from typing import Annotated

import typer

from flows.commands.exits import told
from flows.report import REPORT, publish_report, refresh_manifest, write_report_to


def report(
    url: Annotated[str, typer.Argument(help="Output folder or URL of a conversion.")],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="Write the page to this local file instead. [report.html in URL]", show_default=False
        ),
    ] = None,
    refresh: Annotated[
        bool,
        typer.Option("--refresh", help="First gather what a conversion that is still under way has done so far."),
    ] = False,
) -> None:
    """Write one self-contained page: what was done, what failed and why, the clips to look at first, speed and cost.

    The page opens from disk, needs no server and asks the network for nothing. `convert` writes the same page when it
    ends.

    Examples:
        spatialdreamer report stereo

        spatialdreamer report s3://bucket/stereo --output library.html
    """
    with told():
        if refresh:
            refresh_manifest(url)
        if output is None:
            publish_report(url)
        else:
            write_report_to(url, output)
    typer.echo(str(output) if output is not None else f"{url.rstrip('/')}/{REPORT}")
