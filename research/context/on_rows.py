"""Train an encoder that reads a JD and a CV in one row, and a scorer on their chunk vectors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from jdcv_core.encoding.row_layout import join
from jdcv_core.encoding.whitening import Whitening
from jdcv_core.errors import InputError
from jdcv_core.training.distributed import same_number
from jdcv_core.training.pairs import StoredVectors
from jdcv_core.training.trainable import OnTokens
from jdcv_core.types import ChunkVectors
from research.context import positions
from research.context.pair_rows import LongRow, PairRow, Reading

FITTED_ON = 64
"""Number of training pairs on whose chunk vectors the whitening is fitted."""


class OnRows(OnTokens):
    """`OnTokens` in which the vectors of a CV's chunks depend on the JD: one row for each pair.

    reading: how a pair becomes a row, see `pair_rows`

    The other arguments are those of `OnTokens`. Vectors are pooled over the tokens of a chunk as
    the encoder pools (its `pooling`; "last" is the state of a chunk's last token, which has seen
    all that the chunk sees). Any scorer fits. A document is encoded once for each of its pairs.
    Raises InputError for an encoder that is no decoder or cannot read such rows.
    """

    def __init__(self, *arguments: Any, reading: Reading, **others: Any) -> None:
        super().__init__(*arguments, **others)
        self.reading = reading
        self.window = self.encoder.network.window
        network = self.encoder.network
        if network.states is None or not network.causal or network.prefix or network.suffix:
            what = "it is no decoder, or adds special tokens, or cannot read rows of several chunks"
            raise InputError(f"encoder {self.encoder.name}", what, "take one of GPT-2's class")
        if isinstance(reading, LongRow) and reading.positions == "interpolated":
            pairs = range(len(self.labels))
            positions.stretch(self.module, max(self.row(pair).layout.window for pair in pairs))
        if isinstance(reading, LongRow) and reading.positions == "dropped":
            positions.drop(self.module)

    def sides(self, index: Tensor) -> Callable[[Tensor], tuple[ChunkVectors, ChunkVectors]]:
        rows = [self.row(pair) for pair in index.tolist()]
        counts = [np.array([len(row.jd) for row in rows]), np.array([len(row.cv) for row in rows])]
        vectors = (self.read(rows) - self.mean) @ self.matrix
        parts = vectors.split([int(own.sum()) for own in counts])
        jd, cv = (
            StoredVectors(
                tuple(self.data.ids[i] for i in documents[index].tolist()),
                own,
                torch.cat([part, part.new_zeros(1, part.shape[1])]),  # the last row is padding
            )
            for documents, own, part in zip(
                (self.data.jd_index, self.data.cv_index), counts, parts, strict=True
            )
        )
        return lambda at: (jd.take(at), cv.take(at))

    def row(self, pair: int) -> PairRow:
        """Lay out the row of one pair."""
        jd, cv = int(self.data.jd_index[pair]), int(self.data.cv_index[pair])
        return self.reading.row(self.data.chunks[jd], self.data.chunks[cv], self.window)

    def read(self, rows: Sequence[PairRow]) -> Tensor:
        """Return the vectors of all JD chunks of the rows, then of all CV chunks, [chunk dim]."""
        batches = self.encoder.batches([row.layout.length for row in rows])
        found: dict[int, tuple[Tensor, Tensor]] = {}
        added = []  # calls that a process makes only because others have more batches
        for number, batch in enumerate(same_number(batches, self.sharded)):
            each = self._read_together([rows[i] for i in batch])
            if number < len(batches):
                found |= dict(zip(batch, each, strict=True))
            else:
                added.append(each[0][0].sum())
        jd, cv = zip(*(found[i] for i in range(len(rows))), strict=True)
        return torch.cat([*jd, *cv]) + 0.0 * sum(added)

    def _read_together(self, rows: Sequence[PairRow]) -> list[tuple[Tensor, Tensor]]:
        """Read rows in one call; return the vectors of the JD and of the CV of each."""
        network = self.encoder.network
        assert network.states is not None
        assert network.pool is not None
        ids = torch.tensor([i for row in rows for i in row.ids]).to(self.device)
        starts = np.cumsum([0, *(row.layout.length for row in rows)]).tolist()
        spans = [
            (start + first, start + end)
            for start, row in zip(starts, rows, strict=False)
            for first, end in (*row.jd, *row.cv)
        ]
        begin, end = torch.tensor(spans, device=self.device).T[..., None]  # [span 1] each
        place = begin + torch.arange(int((end - begin).max()), device=self.device)
        mask = place < end  # [span token]
        table = torch.where(mask, place, 0)
        with self._autocast():
            states = network.states(self.module, ids, join(row.layout for row in rows))
            vectors = network.pool(self.module, tuple(s[table] for s in states), mask, mask)
        sizes = [len(side) for row in rows for side in (row.jd, row.cv)]
        parts = iter(vectors.float().split(sizes))
        return list(zip(parts, parts, strict=True))

    def costs(self) -> np.ndarray:
        jd, cv = self.data.jd_index.numpy(), self.data.cv_index.numpy()
        return self.tokens[jd] + self.tokens[cv]

    def chunk_counts(self, index: Tensor) -> tuple[list[int], list[int]]:
        rows = [self.row(pair) for pair in index.tolist()]
        return [len(row.jd) for row in rows], [len(row.cv) for row in rows]

    def arrange(self, index: Tensor) -> Tensor:
        return torch.from_numpy(np.argsort(self.costs()[index.numpy()], kind="stable"))

    def work(self, index: Tensor) -> int:
        return sum(self.row(pair).layout.length for pair in index.tolist())

    @torch.no_grad()
    def fit_whitening(self, train: Tensor) -> Whitening:
        """Fit the whitening on the vectors of training pairs before any training; return it.

        train: int [pair], indices of training pairs, of which FITTED_ON, evenly spaced, are read
        """
        chosen = train[torch.linspace(0, len(train) - 1, min(FITTED_ON, len(train))).long()]
        self.module.eval()
        vectors = self.read([self.row(pair) for pair in chosen.tolist()])
        whitening = Whitening.fit({"all": vectors.double().cpu().numpy()}, ["all"])
        self.mean.copy_(torch.from_numpy(whitening.mean))
        self.matrix.copy_(torch.from_numpy(whitening.matrix))
        return whitening
