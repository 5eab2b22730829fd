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
    months:  float [row, 4], or None if no experiences were read; the last row is nan
    words:   float [row, term, 2], or None if no scorer reads words; the last row is 0
    """

    ids: tuple[str, ...]
    counts: np.ndarray
    vectors: Tensor
    months: Tensor | None = None
    words: Tensor | None = None

    @classmethod
    def of(
        cls,
        matrices: Mapping[str, np.ndarray],
        ids: Sequence[str],
        months: Mapping[str, np.ndarray] | None = None,
        words: Mapping[str, np.ndarray] | None = None,
    ) -> "StoredVectors":
        """Stack the chunk vectors of `ids`; arguments and errors: see `ChunkVectors.pad`."""
        for i in ids:
            if len(matrices[i]) == 0:
                raise ValueError(f"document {i} has no chunk")
        counts = np.array([len(matrices[i]) for i in ids], dtype=np.int64)
        padding = np.zeros((1, matrices[ids[0]].shape[1]), dtype=np.float32)
        vectors = _stacked([*(matrices[i] for i in ids), padding])
        terms = None if words is None else _stacked_words([words[i] for i in ids])
        if not months or any(i not in months for i in ids):
            return cls(tuple(ids), counts, vectors, None, terms)
        for i, count in zip(ids, counts.tolist(), strict=True):
            if len(months[i]) != count:
                raise ValueError(f"document {i}: {count} chunks, months of {len(months[i])}")
        unknown = np.full((1, months[ids[0]].shape[1]), np.nan)
        known = _stacked([*(months[i] for i in ids), unknown])
        return cls(tuple(ids), counts, vectors, known, terms)

    def to(self, device: str) -> "StoredVectors":
        """Copy the tensors to a device."""
        months = None if self.months is None else self.months.to(device)
        words = None if self.words is None else self.words.to(device)
        return replace(self, vectors=self.vectors.to(device), months=months, words=words)

    def take(self, index: Tensor) -> ChunkVectors:
        """Return the documents at `index` [pair] (repeats allowed), padded to their longest."""
        at = index.numpy()
        counts, starts = self.counts[at], (self.counts.cumsum() - self.counts)[at]
        place = np.arange(counts.max())
        mask = place < counts[:, None]  # [pair chunk]
        rows = np.where(mask, starts[:, None] + place, len(self.vectors) - 1)
        device = self.vectors.device
        table = torch.from_numpy(rows).to(device)
        months = None if self.months is None else self.months[table]
        words = None if self.words is None else self.words[table]
        ids = tuple(self.ids[i] for i in at.tolist())
        real = torch.from_numpy(mask).to(device)
        return ChunkVectors(ids, self.vectors[table], real, months, words)

    def months_of(self, document: int) -> Tensor:
        """Return the months of one document's chunks, [chunk, 4]; ValueError if there are none."""
        if self.months is None:
            raise ValueError("no experiences were read")
        start = int(self.counts[:document].sum())
        return self.months[start : start + int(self.counts[document])]


@dataclass(frozen=True)
class PairTensors:
    """The data that a scorer is trained and tested on.

    jd, cv:             chunk vectors of the documents of each side, each document once
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
        words: Mapping[str, np.ndarray] | None = None,
    ) -> "PairTensors":
        """Gather the chunk vectors of the documents of `pairs`.

        matrices: document id → [chunk, dim]; a missing document raises KeyError
        months:   document id → [chunk, 4], see `ChunkVectors`
        words:    document id → [chunk, term, 2], see `ChunkVectors`
        """
        jds, jd_index = np.unique([p.jd for p in pairs], return_inverse=True)
        cvs, cv_index = np.unique([p.cv for p in pairs], return_inverse=True)
        return cls(
            StoredVectors.of(matrices, jds.tolist(), months, words),
            StoredVectors.of(matrices, cvs.tolist(), months, words),
            torch.as_tensor(jd_index),
            torch.as_tensor(cv_index),
            torch.tensor([p.label for p in pairs]),
        )

    def to(self, device: str) -> "PairTensors":
        """Copy the chunk vectors to a device; indices and labels stay on the CPU."""
        return replace(self, jd=self.jd.to(device), cv=self.cv.to(device))

    def chunk_counts(self, index: Tensor) -> tuple[list[int], list[int]]:
        """Count the JD chunks and the CV chunks of the pairs at `index`."""
        jd, cv = self.jd_index[index].numpy(), self.cv_index[index].numpy()
        return self.jd.counts[jd].tolist(), self.cv.counts[cv].tolist()

    def sides(self, index: Tensor) -> tuple[ChunkVectors, ChunkVectors]:
        """Return the JDs and the CVs of the pairs at `index`, as arguments of a scorer."""
        return self.jd.take(self.jd_index[index]), self.cv.take(self.cv_index[index])


@dataclass(frozen=True)
class PairTokens:
    """The data that an encoder is trained and tested on: the tokens of each document's chunks.

    ids:                document ids; a *row* is an index into them
    chunks:             the chunks of each row, as the encoder's token ids without special tokens
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
        """Gather the tokens of the documents of `pairs`.

        chunks: document id → its chunks; a missing document raises KeyError
        """
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


def _stacked_words(words: Sequence[np.ndarray]) -> Tensor:
    """[chunk, term, 2] of each document → float32 [row, term, 2], padded to the most terms."""
    rows = sum(len(own) for own in words)
    found = torch.zeros(rows + 1, max(own.shape[1] for own in words), 2)
    start = 0
    for own in words:
        found[start : start + len(own), : own.shape[1]] = torch.as_tensor(own)
        start += len(own)
    return found
