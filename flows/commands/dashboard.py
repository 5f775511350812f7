"""``spatialdreamer dashboard``: a page that answers questions about a library, served on this machine."""

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from flows.commands.exits import told
from spatialdreamer_core.errors import ConfigError

NEEDED = ("streamlit", "duckdb")


def dashboard(
    url: Annotated[str, typer.Argument(help="Output folder or URL of a conversion.")],
    port: Annotated[int, typer.Option(help="Port to listen on.", min=1, max=65535)] = 8501,
    host: Annotated[
        str, typer.Option(help="Address to listen on; anyone who reaches another one than this can look.")
    ] = "127.0.0.1",
) -> None:
    """Serve a dashboard of a library: progress, quality over time, models compared, failures, clips in stereo.

    It reads the manifest that `convert` and `report --refresh` write, and nothing outside of the output; it asks
    the network for nothing. Needs `pip install 'spatialdreamer[dashboard]'`. Ctrl-C ends it.

    Examples:
        spatialdreamer dashboard stereo

        spatialdreamer dashboard s3://bucket/stereo --port 9000
    """
    with told():
        if missing := [name for name in NEEDED if find_spec(name) is None]:
            raise ConfigError(f"the dashboard needs {' and '.join(missing)}; pip install 'spatialdreamer[dashboard]'")
        from flows.dashboard import app
        from flows.dashboard.library import latest
        from infra.streamlit_server import serve

        app.prepare(latest(url)())  # says what is wrong before anything is served; asks before anybody looks
        typer.echo(f"http://{host}:{port}  (Ctrl-C ends it)")
        serve(Path(app.__file__), [url], host=host, port=port)
