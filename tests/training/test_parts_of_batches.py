"""One very long document costs its own pair, not the pairs that share its batch.

The cost is counted as padded cells, in chunks, and not in seconds (benchmarks/outlier.py has the
ratio of seconds).
"""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from thorough import examples

from jdcv_core.scoring import CELLS, MeanPairs, padded_cells, parts_within, score_vectors
from jdcv_core.training.loop import train
from jdcv_core.training.pairs import PairTensors, StoredVectors
from jdcv_core.training.settings import TrainingSettings
from jdcv_core.training.trainable import OnVectors
from jdcv_core.types import ChunkVectors, Pair
from research.chunk_attention import ChunkAttention

LONG = 665
"""Chunks of a CV of 680,000 characters, at 256 tokens a chunk."""


def corpus(long: int | None, pairs: int = 64, dim: int = 8):
    """Pairs of usual documents; the CV of pair 3 has `long` chunks, unless it is None."""
    rng = np.random.default_rng(0)
    vectors, found = {}, []
    for i in range(pairs):
        cv, jd = f"cv:{i:03}", f"jd:{i % 9}"
        chunks = long if long and i == 3 else int(rng.integers(2, 13))
        vectors[cv] = rng.normal(size=(chunks, dim)).astype(np.float32)
        vectors.setdefault(jd, rng.normal(size=(1 + i % 4, dim)).astype(np.float32))
        found.append(Pair(cv, jd, i % 3))
    return vectors, found


class Counted(ChunkAttention):
    """Chunk attention that counts the cells that it is given, padding included."""

    cells = largest = 0

    def forward(self, jd, cv):
        own = len(jd.ids) * (jd.mask.shape[1] + cv.mask.shape[1]) ** 2
        self.cells, self.largest = self.cells + own, max(self.largest, own)
        return super().forward(jd, cv)


def alone(cv: int, jd: int) -> int:
    return (cv + jd) ** 2


@pytest.mark.parametrize("way", ["training", "scoring"])
def test_a_long_document_adds_its_own_cells_and_few_more(way):
    cells = {}
    for long in (None, LONG):
        vectors, pairs = corpus(long)
        torch.manual_seed(0)
        scorer = Counted(8)
        if way == "training":
            model = OnVectors(scorer, PairTensors.of(pairs, vectors))
            index = torch.arange(len(pairs))
            train(model, index, index[:9], TrainingSettings(steps=1, batch=64), seed=0)
        else:
            score_vectors(scorer, [(p.cv, p.jd) for p in pairs], vectors)
        cells[long] = scorer.cells
        assert scorer.largest <= max(CELLS, alone(LONG, 4))
    times = 2 if way == "training" else 1  # the validation pairs have the document, too
    assert cells[LONG] - cells[None] <= times * 1.05 * alone(LONG, 4)
    assert alone(LONG, 4) * 64 > 20 * cells[LONG]  # what one padded batch would cost


@pytest.mark.parametrize("scorer_of", [MeanPairs, ChunkAttention])
def test_the_parts_have_the_losses_and_the_gradient_of_the_batch(scorer_of):
    vectors, pairs = corpus(400, pairs=24)
    torch.manual_seed(0)
    scorer = scorer_of(8).double()
    with torch.no_grad():
        for weight in scorer.parameters():  # so that every weight has a gradient
            weight += 0.1 * torch.randn_like(weight)
    model = OnVectors(scorer, PairTensors.of(pairs, vectors)).eval()  # without dropout
    model.data = PairTensors(
        *(
            StoredVectors(side.ids, side.counts, side.vectors.double())
            for side in (model.data.jd, model.data.cv)
        ),
        model.data.jd_index,
        model.data.cv_index,
        model.data.labels,
    )
    index = torch.arange(len(pairs))
    assert len(model.parts(index)) > 1
    found = []
    for parts in (model.parts(index), [index]):
        model.parts = lambda index, parts=parts: parts  # the second time: one padded batch
        model.zero_grad()
        losses = model(index, model.labels)
        losses.mean().backward()
        found.append((losses.detach(), [p.grad.clone() for p in model.scorer.parameters()]))
    (losses, gradients), (padded, expected) = found
    torch.testing.assert_close(losses, padded, rtol=0, atol=1e-9)
    for own, other in zip(gradients, expected, strict=True):
        torch.testing.assert_close(own, other, rtol=0, atol=1e-9)


def test_the_logits_come_in_the_order_of_the_pairs():
    vectors, pairs = corpus(LONG)
    torch.manual_seed(0)
    model = OnVectors(ChunkAttention(8), PairTensors.of(pairs, vectors)).eval()
    index = torch.tensor([40, 3, 7, 3, 0, *range(10, 60)])
    with torch.inference_mode():
        together = model(index)
        each = torch.cat([model(i[None]) for i in index])
    torch.testing.assert_close(together, each, rtol=0, atol=1e-5)


def test_a_usual_batch_is_scored_as_one():
    vectors, pairs = corpus(None)
    model = OnVectors(MeanPairs(8), PairTensors.of(pairs, vectors))
    (part,) = model.parts(torch.arange(len(pairs)))
    assert part.tolist() == list(range(len(pairs)))


def test_no_document_is_stored_with_the_padding_of_the_longest():
    vectors, pairs = corpus(LONG)
    data = PairTensors.of(pairs, vectors)
    chunks = sum(len(own) for i, own in vectors.items() if i.startswith("cv:"))
    assert data.cv.vectors.numel() == (chunks + 1) * 8


lengths = st.lists(st.integers(1, 6), min_size=1, max_size=8)


@settings(max_examples=examples(20), deadline=None)
@given(lengths, st.data(), st.booleans())
def test_stored_vectors_are_padded_as_a_batch(counts, data, known):
    rng = np.random.default_rng(sum(counts))
    ids = [f"cv:{i}" for i in range(len(counts))]
    matrices = {i: rng.normal(size=(n, 3)) for i, n in zip(ids, counts, strict=True)}
    months = {i: rng.normal(size=(n, 4)) for i, n in zip(ids, counts, strict=True)}
    words = {i: rng.normal(size=(n, 1 + n % 3, 2)) for i, n in zip(ids, counts, strict=True)}
    months, words = (months, words) if known else (None, None)
    index = torch.tensor(data.draw(st.lists(st.sampled_from(range(len(ids))), min_size=1)))
    own = StoredVectors.of(matrices, ids, months, words).take(index)
    padded = ChunkVectors.pad(matrices, ids, months, words).take(index)
    assert own.ids == padded.ids
    assert torch.equal(own.vectors, padded.vectors)
    assert torch.equal(own.mask, padded.mask)
    assert (own.months is None) == (padded.months is None)
    assert (own.words is None) == (padded.words is None)
    if own.months is not None:
        assert torch.equal(own.words, padded.words)
        assert torch.equal(own.months.isnan(), padded.months.isnan())
        assert torch.equal(own.months.nan_to_num(-1), padded.months.nan_to_num(-1))


sizes = st.lists(st.tuples(st.integers(1, 9), st.integers(1, 60)), max_size=30)


@given(sizes, st.integers(1, 9), st.integers(1, 20_000))
def test_parts_hold_each_pair_once_within_both_bounds(sizes, pairs, cells):
    parts = list(parts_within(sizes, pairs, cells))
    assert sorted(i for part in parts for i in part) == list(range(len(sizes)))
    for part in parts:
        assert len(part) <= pairs
        assert len(part) == 1 or padded_cells([sizes[i] for i in part]) <= cells
