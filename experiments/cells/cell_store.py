"""The store of trained cells: a repeated experiment trains only the cells that are missing.

The key of a cell depends on the row with its settings, the pairs of each part of the split, the
seed, the labels, the chunk vectors, the versions of the libraries, and the source text of all
modules that train. If one of these changes, the cell is trained again.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from experiments.cells.cell import Cell
from jdcv_core import records
from jdcv_core.atomic import atomic_file

SOURCES = (
    "experiments.cells.row", "experiments.cells.train_cell", "experiments.cells.explain",
    "research.attribution", "research.deletion_test", "research.falsifiers", "jdcv_core.scoring",
    "jdcv_core.losses", "jdcv_core.floors", "jdcv_core.types", "jdcv_core.requirements",
    "jdcv_core.training", "jdcv_core.encoding", "jdcv_core.evaluation.classification",
    "research.context",
)  # fmt: skip
"""Modules and packages whose code affects a cell, in addition to the package of its scorer."""


class CellStore:
    """Cells in a folder, one file each, found by key."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def get(self, key: str) -> Cell | None:
        """Return the cell, or None if it is missing or damaged."""
        try:
            with np.load(self._file(key), allow_pickle=False) as arrays:
                about = json.loads(str(arrays["about"]))
                examples = [(t, arrays[f"example {i}"]) for i, t in enumerate(about["examples"])]
                cuts = about["cuts"] and tuple(about["cuts"])
                return Cell(
                    about["name"], about["kind"], arrays["scores"], cuts, about["facts"],
                    about["course"], examples,
                )  # fmt: skip
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None

    def put(self, key: str, cell: Cell) -> None:
        """Write a cell: the file is complete or absent."""
        self.folder.mkdir(parents=True, exist_ok=True)
        about = {
            "name": cell.name,
            "kind": cell.kind,
            "cuts": cell.cuts,
            "facts": cell.facts,
            "course": cell.course,
            "examples": [title for title, _ in cell.examples],
        }
        arrays = {f"example {i}": weights for i, (_, weights) in enumerate(cell.examples)}
        with atomic_file(self._file(key), "wb") as file:
            np.savez_compressed(
                file,
                allow_pickle=False,
                about=np.array(json.dumps(about)),
                scores=cell.scores,
                **arrays,  # type: ignore[arg-type]
            )

    def _file(self, key: str) -> Path:
        return self.folder / f"{key}.npz"


def cell_key(**parts: Any) -> str:
    """Hash plain values (as for `records.config_hash`) to the key of a cell, 40 hex digits."""
    text = json.dumps({**parts, "versions": records.versions()}, sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:40]


def vectors_hash(matrices: Mapping[str, np.ndarray]) -> str:
    """Hash the ids and the chunk vectors."""
    found = hashlib.sha256()
    for document in sorted(matrices):
        found.update(f"{document} {matrices[document].shape} {matrices[document].dtype}".encode())
        found.update(np.ascontiguousarray(matrices[document]).tobytes())
    return found.hexdigest()


def code_hash(targets: Iterable[str] = ()) -> str:
    """Hash the source text of SOURCES and of the top packages of targets (dotted names)."""
    names = {*SOURCES, *(target.partition(".")[0] for target in targets)} - {"jdcv_core"}
    found = hashlib.sha256()
    for name in sorted(names):
        for path in _files(name):
            found.update(f"{name} {path.name} ".encode() + path.read_bytes())
    return found.hexdigest()


def _files(name: str) -> list[Path]:
    """List the source files of a module or package."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        return []
    path = Path(spec.origin)
    return sorted(path.parent.rglob("*.py")) if path.name == "__init__.py" else [path]
