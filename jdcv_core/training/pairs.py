"""Labelled pairs as tensors: of chunk vectors, or of the tokens of chunks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from jdcv_core.types import Chunk, ChunkVectors, Pair


@dataclass(frozen=True)
class StoredVectors:
    """The chunk vectors of documents, one document after another and without padding, so that one
    very long document costs no memory for the others.

    ids:     of the documents
    counts:  int [doc], chunks of each
    vectors: float [row, dim], the chunks of all documents; the last row is zeros, for padding
    months:  float [row, 4], or None where no experiences were read; the last row is nan
    """

    ids: tuple[str, ...]
    counts: np.ndarray
    vectors: Tensor
    months: Tensor | None = None

    @classmethod
    def of(
        cls,
        matrices: Mapping[str, np.ndarray],
        ids: Sequence[str],
        months: Mapping[str, np.ndarray] | None = None,
    ) -> "StoredVectors":
        """Arguments and errors as of `ChunkVectors.pad`."""
        for i in ids:
            if len(matrices[i]) == 0:
                raise ValueError(f"document {i} has no chunk")
        counts = np.array([len(matrices[i]) for i in ids], dtype=np.int64)
        padding = np.zeros((1, matrices[ids[0]].shape[1]), dtype=np.float32)
        vectors = _stacked([*(matrices[i] for i in ids), padding])
        if not months or any(i not in months for i in ids):
            return cls(tuple(ids), counts, vectors)
        for i, count in zip(ids, counts.tolist(), strict=True):
            if len(months[i]) != count:
                raise ValueError(f"document {i}: {count} chunks, months of {len(months[i])}")
        unknown = np.full((1, months[ids[0]].shape[1]), np.nan)
        known = _stacked([*(months[i] for i in ids), unknown])
        return cls(tuple(ids), counts, vectors, known)

    def to(self, device: str) -> "StoredVectors":
        """The same with its tensors on a device."""
        months = None if self.months is None else self.months.to(device)
        return replace(self, vectors=self.vectors.to(device), months=months)

    def take(self, index: Tensor) -> ChunkVectors:
        """The documents at `index` [pair] (repeats allowed), padded to their longest."""
        at = index.numpy()
        counts, starts = self.counts[at], (self.counts.cumsum() - self.counts)[at]
        place = np.arange(counts.max())
        mask = place < counts[:, None]  # [pair chunk]
        rows = np.where(mask, starts[:, None] + place, len(self.vectors) - 1)
        device = self.vectors.device
        table = torch.from_numpy(rows).to(device)
        months = None if self.months is None else self.months[table]
        ids = tuple(self.ids[i] for i in at.tolist())
        return ChunkVectors(ids, self.vectors[table], torch.from_numpy(mask).to(device), months)

    def months_of(self, document: int) -> Tensor:
        """The months of one document's chunks, [chunk, 4]; ValueError where there are none."""
        if self.months is None:
            raise ValueError("no experiences were read")
        start = int(self.counts[:document].sum())
        return self.months[start : start + int(self.counts[document])]


@dataclass(frozen=True)
class PairTensors:
    """The data that a scorer is trained and tested on.

    jd, cv:             every document of a side once
    jd_index, cv_index: int [pair], rows of `jd` and `cv`
    labels:             int [pair], into LABELS
    """

    jd: StoredVectors
    cv: StoredVectors
    jd_index: Tensor
    cv_index: Tensor
    labels: Tensor

    @classmethod
    def of(
        cls,
        pairs: Sequence[Pair],
        matrices: Mapping[str, np.ndarray],
        months: Mapping[str, np.ndarray] | None = None,
    ) -> "PairTensors":
        """matrices: document id → [chunk, dim]; KeyError names a document that has none
        months:   document id → [chunk, 4], see `ChunkVectors`"""
        jds, jd_index = np.unique([p.jd for p in pairs], return_inverse=True)
        cvs, cv_index = np.unique([p.cv for p in pairs], return_inverse=True)
        return cls(
            StoredVectors.of(matrices, jds.tolist(), months),
            StoredVectors.of(matrices, cvs.tolist(), months),
            torch.as_tensor(jd_index),
            torch.as_tensor(cv_index),
            torch.tensor([p.label for p in pairs]),
        )

    def to(self, device: str) -> "PairTensors":
        """The same with its chunk vectors on a device; indices and labels stay where they are."""
        return replace(self, jd=self.jd.to(device), cv=self.cv.to(device))

    def chunk_counts(self, index: Tensor) -> tuple[list[int], list[int]]:
        """The numbers of JD chunks and of CV chunks of the pairs at `index`."""
        jd, cv = self.jd_index[index].numpy(), self.cv_index[index].numpy()
        return self.jd.counts[jd].tolist(), self.cv.counts[cv].tolist()

    def sides(self, index: Tensor) -> tuple[ChunkVectors, ChunkVectors]:
        """The JD and the CV of each pair at `index`, for a scorer's call."""
        return self.jd.take(self.jd_index[index]), self.cv.take(self.cv_index[index])


@dataclass(frozen=True)
class PairTokens:
    """The data that an encoder is trained and tested on: the tokens of each document's chunks.

    ids:                document ids; a *row* is an index into them
    chunks:             for each row its chunks, as the encoder's token ids without special tokens
    jd_index, cv_index: int [pair], rows
    labels:             int [pair], into LABELS
    """

    ids: tuple[str, ...]
    chunks: tuple[tuple[tuple[int, ...], ...], ...]
    jd_index: Tensor
    cv_index: Tensor
    labels: Tensor

    @classmethod
    def of(cls, pairs: Sequence[Pair], chunks: Mapping[str, Sequence[Chunk]]) -> "PairTokens":
        """chunks: document id → its chunks; KeyError names a document that has none"""
        ids = tuple(sorted({i for p in pairs for i in (p.jd, p.cv)}))
        row = {document: at for at, document in enumerate(ids)}
        return cls(
            ids,
            tuple(tuple(chunk.tokens for chunk in chunks[i]) for i in ids),
            torch.tensor([row[p.jd] for p in pairs]),
            torch.tensor([row[p.cv] for p in pairs]),
            torch.tensor([p.label for p in pairs]),
        )


def _stacked(parts: Sequence[np.ndarray]) -> Tensor:
    return torch.from_numpy(np.concatenate(parts).astype(np.float32, copy=False))
