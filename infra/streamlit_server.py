"""A Streamlit server on this machine: loopback unless told otherwise, no telemetry, nothing served but the app."""

from pathlib import Path


def serve(script: Path, arguments: list[str], *, host: str, port: int) -> None:
    """Run a Streamlit script until interrupted.

    Args:
        script: The app.
        arguments: What it finds in ``sys.argv`` after its own name.
        host: Address to listen on.
        port: Port to listen on.

    Raises:
        ImportError: If streamlit is not installed.
    """
    from streamlit.web import bootstrap

    options = {
        "server_address": host,
        "server_port": port,
        "server_headless": True,
        "server_enableStaticServing": False,
        "server_fileWatcherType": "none",
        "browser_gatherUsageStats": False,
        "client_toolbarMode": "minimal",
        "client_showErrorLinks": False,  # they would hand the text of an error to other sites
        "global_developmentMode": False,
        "logger_level": "warning",
    }
    bootstrap.load_config_options(flag_options=options)
    bootstrap.run(str(script), False, arguments, options)
