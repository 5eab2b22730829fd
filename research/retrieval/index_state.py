"""The state of an index folder: which segments and trained indexes belong to it now.

A change first writes new segments, then the next state (by one rename, which is the moment of the
change), and last removes what belongs to no state. So a kill leaves the old state or the new one;
whoever opens the folder next removes the rest. Every file has its SHA-256 in the manifest of its
folder, every manifest of a segment has its SHA-256 in the state, and all are compared before FAISS
reads a byte.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jdcv_core.atomic import TEMPORARY, lock, remove_folder, remove_leftovers
from jdcv_core.errors import InputError
from jdcv_core.folders import MANIFEST, read_manifest
from research.retrieval.segment import VERSION
from research.retrieval.trained_indexes import digest_of

TRAINED = "trained"
"""The folder of the trained indexes; a rebuild puts its own into another one."""


def read_state(folder: Path) -> tuple[int, dict[str, Any]]:
    """The number and the content of the newest state."""
    if folder.is_file():
        raise InputError(str(folder), "it is a file, not an index", "give the folder of an index")
    if not folder.is_dir():
        raise InputError(
            str(folder), "there is no such index", "make it with `jdcv index` or Retriever.build"
        )
    states = sorted(folder.glob("state-*"))
    if not states:
        raise InputError(str(folder), "it is no index: it has no state", "give another folder")
    content = read_manifest(states[-1], "index", VERSION).facts
    return int(states[-1].name.partition("-")[2]), content


def compare_manifest(folder: Path, digest: str) -> None:
    """Raises InputError if a folder is not the one whose manifest has this SHA-256."""
    if digest_of(folder) != digest:
        what = "it belongs to another index, or to another state of this one"
        raise InputError(str(folder / MANIFEST), what, "put a whole copy of the index in its place")


def sweep(folder: Path) -> None:
    """Remove what a killed process left, unless another process is changing the folder. Where there
    is nothing to remove, nothing is written, not even a lock."""
    try:
        left = _leftovers(folder)
    except InputError:
        return  # whoever opens the folder gets the error
    if left:
        with lock(folder / "lock") as held:
            if held:
                clean(folder)


def _leftovers(folder: Path) -> list[Path]:
    """Older states, segments and trained indexes of no state, and temporary folders."""
    number, current = read_state(folder)
    states = [p for p in folder.glob("state-*") if p.name != f"state-{number:06d}"]
    trained = current.get("trained_folder", TRAINED)
    old = [p for p in folder.glob(f"{TRAINED}*") if p.name != trained]
    inside = sorted((folder / "segments").glob("*"))
    parts = [p for p in inside if p.name not in current["segments"] and p.name[0] != "."]
    unfinished = [p for p in (*folder.glob(".*"), *inside) if TEMPORARY.fullmatch(p.name)]
    return [*sorted(states), *sorted(old), *parts, *unfinished]


def clean(folder: Path) -> None:
    """Remove all `_leftovers`. Call it with the lock."""
    try:
        left = _leftovers(folder)
    except InputError:
        return
    for path in left:
        if not TEMPORARY.fullmatch(path.name):
            remove_folder(path)
    remove_leftovers(folder / "segments")
    remove_leftovers(folder)
