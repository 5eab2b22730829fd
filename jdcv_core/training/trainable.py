"""The modules that the loop trains: they take pairs by their index and return logits or losses.

`OnVectors` reads stored chunk vectors and trains a scorer. `OnTokens` reads the tokens of chunks
and trains the encoder, too. The loop does not distinguish them.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from jdcv_core.encoding.attention_backends import has_attention_dropout
from jdcv_core.encoding.encoder import Encoder
from jdcv_core.encoding.lora_tuning import save_memory
from jdcv_core.encoding.precision import multiplies_bf16
from jdcv_core.encoding.whitening import Whitening
from jdcv_core.errors import InputError, nearest
from jdcv_core.scoring import pair_losses, parts_within
from jdcv_core.training.distributed import same_number
from jdcv_core.training.pairs import PairTensors, PairTokens, StoredVectors
from jdcv_core.types import ChunkVectors

TOGETHER = 256
"""Number of pairs that a scorer processes at once."""


class Trainable(nn.Module):
    """A scorer and the source of its chunk vectors.

    scorer: turns the chunk vectors of both sides into one logit a pair
    labels: int [pair], the labels of all pairs of the data
    unit:   what `work` counts: "tokens" or "pairs"
    """

    unit = "pairs"
    sharded = False
    """Whether the weights are split over processes (FSDP); all of them must make the same calls."""

    def __init__(self, scorer: nn.Module, labels: Tensor) -> None:
        super().__init__()
        self.scorer = scorer
        self.labels = labels

    def forward(self, index: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return the logits of the pairs at `index`, [pair], or, given their labels, the losses.

        The scorer sees at most TOGETHER pairs at once, and fewer where a very long document would
        stretch the padding of the others (`scoring.parts_within`). Each pair has its own value, so
        the parts change the losses and the gradient by rounding only.
        """
        sides = self.sides(index)
        values: list[Tensor] = []
        parts = self.parts(index)
        for at in parts:
            jd, cv = sides(at)
            if labels is None:
                values.append(self.scorer(jd, cv))
            else:
                values.append(pair_losses(self.scorer, jd, cv, labels[at].to(jd.vectors.device)))
        order = torch.cat(parts)
        if torch.equal(order, torch.arange(len(index))):
            return torch.cat(values)
        return torch.cat(values)[torch.argsort(order).to(values[0].device)]

    def parts(self, index: Tensor) -> list[Tensor]:
        """Split positions in `index`, [pair], into the parts that the scorer sees at once."""
        if self.sharded:  # every process must call the scorer as often as the others
            return list(torch.arange(len(index)).split(TOGETHER))
        sizes = list(zip(*self.chunk_counts(index), strict=True))
        return [torch.tensor(part) for part in parts_within(sizes, TOGETHER)]

    def chunk_counts(self, index: Tensor) -> tuple[list[int], list[int]]:
        """Count the JD chunks and the CV chunks of the pairs at `index`."""
        raise NotImplementedError

    def sides(self, index: Tensor) -> Callable[[Tensor], tuple[ChunkVectors, ChunkVectors]]:
        """Return a function from positions in `index` to the chunk vectors of JDs and CVs."""
        raise NotImplementedError

    def costs(self) -> np.ndarray:
        """Return the cost of each pair, int [pair], by which batches are made."""
        raise NotImplementedError

    def arrange(self, index: Tensor) -> Tensor:
        """Order the positions in `index`, [pair], so that batches of neighbours are cheap."""
        return torch.from_numpy(np.argsort(self.costs()[index.numpy()], kind="stable"))

    def work(self, index: Tensor) -> int:
        """Count the `unit`s of the pairs at `index` when they are processed as one batch."""
        return len(index)


class OnVectors(Trainable):
    """A scorer on stored chunk vectors, which do not change."""

    def __init__(self, scorer: nn.Module, data: PairTensors, device: str = "cpu") -> None:
        super().__init__(scorer.to(device), data.labels)
        self.data = data.to(device)

    def sides(self, index: Tensor) -> Callable[[Tensor], tuple[ChunkVectors, ChunkVectors]]:
        return lambda at: self.data.sides(index[at])

    def costs(self) -> np.ndarray:
        jd, cv = self.data.chunk_counts(torch.arange(len(self.labels)))
        return np.array(jd) + np.array(cv)

    def chunk_counts(self, index: Tensor) -> tuple[list[int], list[int]]:
        return self.data.chunk_counts(index)


class OnTokens(Trainable):
    """An encoder and a scorer on the tokens of chunks; both may be trained.

    Within a call, each document is encoded once, even if several pairs contain it, in micro-batches
    of chunks of similar length, or packed without padding (`Encoder.plan`). Chunk vectors are
    whitened with a mean and a matrix that are fitted before training and stay fixed, so that
    training starts from exactly the scores of the frozen encoder.

    module:    the encoder's module, in fp32; parameters with `requires_grad` are trained
    encoder:   defines how tokens become vectors, the device, and the tokens of a micro-batch
    whitening: whitening fitted on vectors of the untrained encoder
    precision: "bf16" runs the encoder under autocast, with fp32 weights; "auto" means bf16 on CUDA
               and on a processor with instructions for bf16 products
    checkpointing: see `lora_tuning.save_memory`
    """

    unit = "tokens"

    def __init__(
        self,
        scorer: nn.Module,
        data: PairTokens,
        module: nn.Module,
        encoder: Encoder,
        whitening: Whitening,
        precision: str = "auto",
        checkpointing: bool = False,
    ) -> None:
        super().__init__(scorer, data.labels)
        if precision not in ("auto", "fp32", "bf16"):
            cure = nearest(precision, ["auto", "fp32", "bf16"])
            raise InputError(f"training.precision {precision}", "it is unknown", cure)
        self.data, self.module, self.encoder = data, module, encoder
        self.tokens = np.array([sum(map(len, chunks)) for chunks in data.chunks])  # [doc]
        self.counts = np.array([len(chunks) for chunks in data.chunks])  # [doc]
        self.device = torch.device(encoder.device)
        fast = self.device.type == "cuda" or multiplies_bf16()
        self.bf16 = precision == "bf16" or (precision == "auto" and fast)
        if checkpointing:
            save_memory(module)
        self.mean: Tensor
        self.matrix: Tensor
        for name, value in (("mean", whitening.mean), ("matrix", whitening.matrix)):
            self.register_buffer(name, torch.tensor(value, dtype=torch.float32), persistent=False)
        self.to(self.device)

    def sides(self, index: Tensor) -> Callable[[Tensor], tuple[ChunkVectors, ChunkVectors]]:
        documents, row = torch.unique(
            torch.stack([self.data.jd_index[index], self.data.cv_index[index]]), return_inverse=True
        )
        vectors = self.encode(documents)
        return lambda at: (vectors.take(row[0, at]), vectors.take(row[1, at]))

    def encode(self, documents: Tensor) -> StoredVectors:
        """Return the whitened chunk vectors of documents (rows of the data), each encoded once."""
        rows = documents.tolist()
        chunks = [chunk for row in rows for chunk in self.data.chunks[row]]
        flash = self.bf16 and not (self.module.training and has_attention_dropout(self.module))
        batches = self.encoder.plan(chunks, flash)
        found = []
        for batch in same_number(batches.indices, self.sharded):
            own = [chunks[i] for i in batch]
            with self._autocast():
                found.append(self.encoder.vectors(self.module, own, batches.packed).float())
        order = [i for batch in batches.indices for i in batch]
        vectors, added = torch.cat(found).tensor_split([len(chunks)])
        # Added batches take part in the backward pass, so that every process makes the same calls.
        vectors = vectors + 0.0 * added.sum()
        vectors = (vectors - self.mean) @ self.matrix  # in the batches' order
        place = torch.empty(len(chunks), dtype=torch.long)
        place[torch.tensor(order)] = torch.arange(len(chunks))
        padding = vectors.new_zeros(1, vectors.shape[1])
        ordered = torch.cat([vectors[place.to(self.device)], padding])
        return StoredVectors(tuple(self.data.ids[i] for i in rows), self.counts[rows], ordered)

    def costs(self) -> np.ndarray:
        return self.tokens[self.data.jd_index.numpy()] + self.tokens[self.data.cv_index.numpy()]

    def chunk_counts(self, index: Tensor) -> tuple[list[int], list[int]]:
        sides = (self.data.jd_index, self.data.cv_index)
        jd, cv = (self.counts[side[index].numpy()].tolist() for side in sides)
        return jd, cv

    def arrange(self, index: Tensor) -> Tensor:
        return torch.argsort(self.data.cv_index[index], stable=True)  # pairs of one CV together

    def work(self, index: Tensor) -> int:
        documents = torch.unique(torch.cat([self.data.jd_index[index], self.data.cv_index[index]]))
        return int(self.tokens[documents.numpy()].sum())

    def _autocast(self) -> Any:
        return torch.autocast(self.device.type, torch.bfloat16) if self.bf16 else nullcontext()
