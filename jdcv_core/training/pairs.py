"""Labelled pairs as tensors: of chunk vectors, or of the tokens of chunks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from jdcv_core.types import Chunk, ChunkVectors, Pair


@dataclass(frozen=True)
class PairTensors:
    """The data that a scorer is trained and tested on.

    jd, cv:             chunk vectors of the documents of each side, each document once
    jd_index, cv_index: int [pair], rows of `jd` and `cv`
    labels:             int [pair], into LABELS
    """

    jd: ChunkVectors
    cv: ChunkVectors
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
            ChunkVectors.pad(matrices, jds.tolist(), months, words),
            ChunkVectors.pad(matrices, cvs.tolist(), months, words),
            torch.as_tensor(jd_index),
            torch.as_tensor(cv_index),
            torch.tensor([p.label for p in pairs]),
        )

    def to(self, device: str) -> "PairTensors":
        """Copy the chunk vectors to a device; indices and labels stay on the CPU."""
        return replace(self, jd=self.jd.to(device), cv=self.cv.to(device))

    def chunk_counts(self) -> np.ndarray:
        """Count the chunks of both sides of each pair, int [pair]: the cost of a pair."""
        jd, cv = self.jd.mask.sum(1)[self.jd_index], self.cv.mask.sum(1)[self.cv_index]
        return (jd + cv).cpu().numpy()

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
