"""Where everything of make-pairs lies below the output place, and the name of the work."""

import hashlib
from dataclasses import asdict

from spatialdreamer_core.dvg.config import PairsConfig
from spatialdreamer_core.pairs.members import FORMAT
from spatialdreamer_core.store.place import WORK_FOLDER, canonical_json

ALGORITHM = 2
"""Raise when a clip would become another sample for the same settings, so that old and new work never mix."""

LAYOUT = 1
"""Of what lies below an output place; raise it when an older program would misread what is there."""

MANIFEST = "pairs.parquet"
WORKS = f"{WORK_FOLDER}/pairs"
"""One folder for each work."""
SHARDS = "shards"


def work_key(config: PairsConfig, depth_digest: str) -> str:
    """Name work by everything that its bytes depend on besides the clips: 16 hex digits.

    Args:
        config: Settings.
        depth_digest: Of the estimator; empty for ready depth, which is named by source in the plan.
    """
    identity = {
        "stage": "make-pairs",
        "algorithm": ALGORITHM,
        "format": FORMAT,
        "settings": asdict(config),
        "depth": depth_digest,
    }
    return hashlib.sha256(canonical_json(identity)).hexdigest()[:16]


def work_folder(key: str) -> str:
    """Everything of this work that is no shard."""
    return f"{WORKS}/{key}"


def work_file(key: str) -> str:
    """Says what this work is; written before anything else of it."""
    return f"{work_folder(key)}/work.json"


def plan_folder(key: str) -> str:
    """Generations of the plan."""
    return f"{work_folder(key)}/plan"


def commits_folder(key: str) -> str:
    """Records of finished shards."""
    return f"{work_folder(key)}/commits"


def commit_key(key: str, shard: str) -> str:
    """Record of one finished shard."""
    return f"{commits_folder(key)}/{shard}.json"


def clips_folder(key: str, shard: str) -> str:
    """Records of the made clips of an open shard."""
    return f"{work_folder(key)}/clips/{shard}"


def clip_key(key: str, shard: str, clip: str) -> str:
    """Record of one made clip of an open shard."""
    return f"{clips_folder(key, shard)}/{clip}.json"


def pieces_folder(key: str, shard: str) -> str:
    """Samples of an open shard."""
    return f"{work_folder(key)}/pieces/{shard}"


def failed_folder(key: str) -> str:
    """Records of clips that were set aside."""
    return f"{work_folder(key)}/failed"


def failed_key(key: str, clip: str) -> str:
    """Record of a clip that was set aside."""
    return f"{failed_folder(key)}/{clip}.json"


def shard_file(key: str, shard: str, sha256: str) -> str:
    """A finished shard, named by its content, so that another body never takes its place."""
    return f"{SHARDS}/{key}/{shard}-{sha256[:12]}.tar"


def rows_folder(key: str) -> str:
    """Manifest rows of finished shards."""
    return f"{work_folder(key)}/rows"


def fragment_key(key: str, shard: str, sha256: str) -> str:
    """The manifest rows of a finished shard, named by their content: two writers may tell of different times."""
    return f"{rows_folder(key)}/{shard}-{sha256[:12]}.parquet"


def sources_folder(key: str) -> str:
    """Manifest rows of sources that could not be read."""
    return f"{work_folder(key)}/sources"


def look_folder(key: str, source_id: str) -> str:
    """What looking at a source found."""
    return f"{WORK_FOLDER}/looked/{key}/{source_id}"
