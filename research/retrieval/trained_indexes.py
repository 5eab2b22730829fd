"""The trained, empty FAISS indexes of an index folder, which every segment begins with. Ours."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np

from jdcv_core.atomic import scratch_folder
from jdcv_core.errors import InputError
from jdcv_core.folders import MANIFEST, write_folder
from jdcv_core.progress import progress
from research.retrieval import segment
from research.retrieval.segment import CHUNKS, MEANS, VERSION, Entry
from research.retrieval.vector_index import FaissIndex, unit_rows

HEAD = 1000
"""Documents of a sample from which the number of chunks is estimated."""
AUTO = 100_000
"""Up to so many chunk vectors, the index type `auto` is `flat`, which is fast enough there."""


@dataclass(frozen=True)
class Trained:
    """Trained, empty indexes of chunk vectors and of means, before they are written."""

    index_type: str
    dim: int
    chunks: FaissIndex
    means: FaissIndex

    @classmethod
    def on(
        cls, folder: Path, sample: Iterable[np.ndarray], expected: int, index_type: str
    ) -> Trained:
        """Train on a sample; see `IndexFolder.create`. folder: for the message."""
        stream = iter(sample)
        head = list(islice(stream, HEAD))
        if not head:
            raise InputError(str(folder), "there is no document", "give at least one")
        dim = head[0].shape[1]
        rows = int(np.mean([len(v) for v in head]) * expected)
        if index_type == "auto":
            index_type = "flat" if rows <= AUTO else "ivf-pq"
        chunks = FaissIndex.make(dim, index_type, rows)
        means = FaissIndex.make(dim, type_of_means(index_type), expected)
        try:
            with progress("Training the index", None):
                _train(chunks, means, chain(head, stream))
        except RuntimeError as fault:
            reason = str(fault).rpartition("failed: ")[2]
            what = f"FAISS cannot train it on {expected} documents ({reason})"
            cure = "give more documents, or the type flat, which needs no training"
            raise InputError(f"index type {index_type!r}", what, cure) from fault
        return cls(index_type, dim, chunks, means)

    def write(self, folder: Path, name: str, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Write them into folder/name; returns what a state says of them."""
        with scratch_folder(folder) as space:
            files = segment.save_indexes(space, {CHUNKS: self.chunks, MEANS: self.means})
            about = {"index_type": self.index_type}
            write_folder(folder / name, "trained index", VERSION, files, about)
        return {
            "settings": {**settings, "index_type": self.index_type, "dim": self.dim},
            "trained": digest_of(folder / name),
            "trained_folder": name,
        }


def shuffled(entries: Sequence[Entry]) -> Iterator[np.ndarray]:
    """The vectors of the entries in a shuffled order, to train on."""
    order = np.random.default_rng(0).permutation(len(entries))
    return (entries[at].vectors for at in order)


def _train(chunks: FaissIndex, means: FaissIndex, sample: Iterator[np.ndarray]) -> None:
    """Train both on a sample of documents. It holds one copy of the rows that training needs."""
    rows = np.empty((chunks.sample, chunks.dim), np.float32)
    averages = np.empty((means.sample, means.dim), np.float32)
    row = average = 0
    while row < len(rows) or average < len(averages):
        vectors = next(sample, None)
        if vectors is None:
            break
        units = unit_rows(vectors)
        own = units[: len(rows) - row]
        rows[row : row + len(own)] = own
        row += len(own)
        if average < len(averages):
            averages[average] = units.mean(0)
            average += 1
    chunks.train(rows[:row], overwrite=True)
    del rows
    means.train(averages[:average], overwrite=True)


def type_of_means(index_type: str) -> str:
    """The type of the index of means. Means are few and their order matters, so they get two bits a
    dimension instead of RaBitQ's one."""
    return "ivf-pq" if index_type == "ivf-rabitq" else index_type


def digest_of(folder: Path) -> str:
    """The SHA-256 (hex) of the manifest of a folder."""
    return hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest()
