"""``python -m benchmarks.pages``: the page and the dashboard of a library of one million clips, in a real browser."""

import os
import platform
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.__main__ import say, show
from benchmarks.many_rows import many_rows
from spatialdreamer_core.store.manifest import write_fragment
from tests.browser import HAS_BROWSER, browser

MANY, SOME = 1_000_000, 10_000
VIEWS = ("Quality", "Models and settings", "Failures", "Clips")
Row = tuple[str, str, str, bool]


def main() -> None:
    """Measure and print."""
    cores = len(os.sched_getaffinity(0))
    say(f"{datetime.now(UTC):%Y-%m-%d}, {platform.platform()}, {cores} cores, Python {platform.python_version()}\n\n")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for rows in (SOME, MANY):
            (folder / str(rows)).mkdir()
            write_fragment(many_rows(rows), folder / str(rows) / "manifest.parquet")
        size_mb = (folder / str(MANY) / "manifest.parquet").stat().st_size / 1e6
        say(f"manifest of {MANY:,} rows: {size_mb:.0f} MB\n")
        show([report_row(folder / str(rows)) for rows in (SOME, MANY)])
        if not HAS_BROWSER:
            say("chromium and chromedriver are missing: nothing was opened\n")
            return
        show(page_rows(folder / str(SOME), folder / "profile"))
        show(dashboard_rows(folder / str(MANY), folder / "profile"))


def report_row(library: Path) -> Row:
    """The whole command, imports included: wall time, processor time, size of the page."""
    before, begin = os.times(), time.monotonic()
    subprocess.run([sys.executable, "-m", "flows.cli", "report", str(library)], check=True, capture_output=True)
    spent, after = time.monotonic() - begin, os.times()
    busy = after.children_user + after.children_system - before.children_user - before.children_system
    size_mb = (library / "report.html").stat().st_size / 1e6
    measured = f"{spent:.1f}, {busy:.1f} ({size_mb:.1f})"
    return (f"report of {int(library.name):,} rows, s, busy s (MB)", measured, "< 10", spent < 10)


def page_rows(library: Path, profile: Path) -> list[Row]:
    """Opening the page from disk, sorting it and filtering it."""
    with browser(profile) as driver:
        begin = time.monotonic()
        driver.get((library / "report.html").as_uri())
        opened = time.monotonic() - begin
        sort = (
            "const t = performance.now(); document.querySelectorAll('#clips th')[7].click();"
            "return performance.now() - t"
        )
        sorted_ms = float(driver.execute_script(sort))
        find = (
            "const t = performance.now(), box = document.querySelector('#clips input'); box.value = 'film 00001';"
            "box.dispatchEvent(new Event('input')); return performance.now() - t"
        )
        found_ms = float(driver.execute_script(find))
    what = f"page of {int(library.name):,} rows"
    return [
        (f"{what}: opened, s", f"{opened:.2f}", "< 3", opened < 3),
        (f"{what}: sorted, filtered, ms", f"{sorted_ms:.0f}, {found_ms:.0f}", "< 200", max(sorted_ms, found_ms) < 200),
    ]


def dashboard_rows(library: Path, profile: Path) -> list[Row]:
    """From the command to the server, from the address to the figures on the page, and every other view."""
    begin = time.monotonic()
    with served(library) as url:
        started = time.monotonic() - begin
        paints: list[float] = []
        views: dict[str, float] = {}
        for number in range(3):
            with browser(profile / str(number)) as driver:
                paints.append(_paint(driver, url))
                views = views or _views(driver)
    what = f"dashboard of {int(library.name):,} rows"
    return [
        (f"{what}: command to server, s", f"{started:.1f}", "reported", True),
        (f"{what}: first paint, then again, s", ", ".join(f"{p:.2f}" for p in paints), "< 3", paints[0] < 3),
        *((f"{what}: {view}, s", f"{spent:.2f}", "< 3", spent < 3) for view, spent in views.items()),
    ]


def _paint(driver: Any, url: str) -> float:
    """Seconds until every figure of the head stands there."""
    begin = time.monotonic()
    driver.get(url)
    while len(driver.find_elements("css selector", "[data-testid=stMetricValue]")) < 6:
        time.sleep(0.02)
    return time.monotonic() - begin


def _views(driver: Any) -> dict[str, float]:
    """Seconds until a view is drawn and nothing runs any more."""
    spent = {}
    for view in VIEWS:
        button = driver.find_element("xpath", f"//button[normalize-space()='{view}']")
        begin = time.monotonic()
        button.click()
        time.sleep(0.1)
        running = "[data-testid=stApp][data-test-script-state=running]"
        while driver.find_elements("css selector", running):
            time.sleep(0.02)
        spent[view] = time.monotonic() - begin
    return spent


@contextmanager
def served(library: Path) -> Iterator[str]:
    """The dashboard as the command serves it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "flows.cli", "dashboard", str(library), "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            while True:
                try:
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=5).close()
                    break
                except OSError:
                    if server.poll() is not None:
                        raise
                    time.sleep(0.05)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()


if __name__ == "__main__":
    main()
