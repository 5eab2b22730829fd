"""Compare-then-aggregate against plain loops, and what may and may not change its logit."""

import math
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from random_chunks import DIM, LENGTHS, SEEDS, padded, two_sides
from reference import compare_aggregate as slow
from thorough import examples

from jdcv_core.chunking import TokenChunker
from jdcv_core.encoding.term_weights import TermWeights
from jdcv_core.errors import InputError
from jdcv_core.explanation import explain_pair
from jdcv_core.losses import sigmoid_mse
from jdcv_core.types import Chunk, ChunkVectors, Document, Encoded
from research.attribution import logits_of_subsets
from research.compare_aggregate import CompareAggregate, strongest, word_cosines

SWITCHES = ("saturate", "importance", "months", "level", "words")
COMBINATIONS = [
    dict(zip(SWITCHES, on, strict=True))
    for on in product((False, True), repeat=5)
    if on[0] or not on[2]  # months need saturation
]


def model_of(seed=0, **switches):
    """Every parameter drawn at random, so that none is 0 or the identity."""
    model = CompareAggregate(DIM, **switches)
    rng = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            spread = 0.02 if name.endswith("moved") else 0.5  # moved is in units of its pace
            parameter += spread * torch.randn(parameter.shape, generator=rng)
    return model.double().eval()


def months_of(lengths, seed):
    """[chunk, 4] of each document: some chunks belong to no experience."""
    rng = np.random.default_rng(seed)
    found = []
    for n in lengths:
        place = rng.integers(-1, 3, n).astype(float)
        duration, recency = rng.uniform(1, 60, 3), rng.uniform(0, 200, 3)
        rows = [
            (math.nan,) * 2 + (1.0, math.nan)
            if p < 0
            else (duration[int(p)], recency[int(p)], 1.0, p)
            for p in place
        ]
        found.append(np.array(rows))
    return found


def words_of(lengths, seed, vocabulary=9):
    """TF-IDF of random tokens, a few of them shared."""
    rng = np.random.default_rng(seed)
    tokens = {
        str(at): [rng.integers(0, vocabulary, rng.integers(1, 6)).tolist() for _ in range(n)]
        for at, n in enumerate(lengths)
    }
    terms = TermWeights.fit(tokens, sorted(tokens))
    return [terms(tokens)[str(at)] for at in range(len(lengths))]


def sides(lengths, seed, more=(0, 0), noise=None):
    """Both sides of pairs, with months and words, padded by `more` slots of noise."""
    jds, cvs = two_sides(lengths, seed)
    found = []
    for matrices, extra, which in ((jds, more[0], 0), (cvs, more[1], 1)):
        side = padded(matrices, torch.float64, extra, noise)
        chunks = side.vectors.shape[1]
        months = torch.full((len(matrices), chunks, 4), math.nan, dtype=torch.float64)
        own = [pair[which] for pair in lengths]
        for row, one in enumerate(months_of(own, seed + which)):
            months[row, : len(one)] = torch.as_tensor(one)
        words = words_of(own, seed + which)
        padded_words = torch.zeros(len(words), chunks, max(w.shape[1] for w in words), 2)
        for row, one in enumerate(words):
            padded_words[row, : one.shape[0], : one.shape[1]] = torch.as_tensor(one)
        found.append(replace(side, months=months, words=padded_words))
    return found


def plain(side, pair):
    """One document as nested lists, without padding."""
    real = side.mask[pair]
    return {
        "vectors": side.vectors[pair][real].tolist(),
        "months": side.months[pair][real].tolist(),
        "words": side.words[pair][real].tolist(),
    }


@pytest.mark.parametrize("maximum", ["hard", "soft"])
@pytest.mark.parametrize("on", COMBINATIONS, ids=lambda on: "+".join(n for n in on if on[n]) or "-")
@settings(max_examples=examples(4))
@given(LENGTHS, SEEDS)
def test_every_combination_equals_plain_loops(on, maximum, lengths, seed):
    model = model_of(seed, maximum=maximum, **on)
    jd, cv = sides(lengths, seed, more=(1, 2), noise=seed % 100)
    expected = [
        slow.logit(model, plain(jd, pair), plain(cv, pair), maximum=maximum, **on)
        for pair in range(len(lengths))
    ]
    np.testing.assert_allclose(model(jd, cv).detach(), expected, atol=1e-8)


@pytest.mark.parametrize("maximum", ["hard", "soft"])
@settings(max_examples=examples(6))
@given(LENGTHS, SEEDS)
def test_padding_and_batch_change_neither_logit_nor_gradient(maximum, lengths, seed):
    model = model_of(seed, maximum=maximum, months=True, level=True, words=True)

    def logits_and_gradients(pairs):
        model.zero_grad()
        logits = torch.cat([model(jd, cv) for jd, cv in pairs])
        logits.sum().backward()
        return logits.detach(), [p.grad.clone() for p in model.parameters()]

    jd, cv = sides(lengths, seed)
    at = [torch.tensor([n]) for n in range(len(lengths))]
    whole = logits_and_gradients([sides(lengths, seed, more=(3, 2), noise=1)])
    alone = logits_and_gradients([(jd.take(n), cv.take(n)) for n in at])
    for one, other in zip((whole[0], *whole[1]), (alone[0], *alone[1]), strict=True):
        assert one.isfinite().all()
        torch.testing.assert_close(one, other, atol=1e-8, rtol=1e-8)


@settings(max_examples=examples(8))
@given(LENGTHS, SEEDS, st.randoms(use_true_random=False))
def test_without_level_the_order_of_chunks_never_changes_a_logit(lengths, seed, random):
    model = model_of(seed, months=True, words=True)
    jd, cv = sides(lengths, seed)

    def shuffled(side):
        order = torch.stack(
            [
                torch.tensor([*random.sample(range(n), n), *range(n, side.mask.shape[1])])
                for n in side.mask.sum(1).tolist()
            ]
        )
        row = torch.arange(len(order))[:, None]
        fields = (side.vectors, side.mask, side.months, side.words)
        return ChunkVectors(side.ids, *(field[row, order] for field in fields))

    torch.testing.assert_close(model(shuffled(jd), shuffled(cv)), model(jd, cv))


def test_evidence_adds_up_to_the_logit_and_names_the_chunk_that_answers():
    model = model_of(1, months=True, level=True, words=True)
    jd, cv = sides([(3, 4), (2, 1)], 3)
    parts = model.evidence(jd, cv)
    by_hand = model.gain() * (parts.importance * parts.covered).sum(1) + model.bias() - parts.level
    torch.testing.assert_close(model(jd, cv), by_hand)
    torch.testing.assert_close(parts.importance.sum(1), torch.ones(2, dtype=torch.float64))
    assert (parts.covered >= 0).all()
    assert (parts.covered <= 1).all()
    assert parts.chunk[1].tolist()[:2] == [0, 0]


def test_a_requirement_met_twice_does_not_replace_one_that_is_not_met():
    """What pooling before the comparison cannot tell apart: two documents with one mean each."""
    python, welding = torch.eye(DIM)[:2]
    jd = ChunkVectors.pad({"jd": torch.stack([python, welding]).numpy()}, ["jd"] * 2)
    cv = {"both": torch.stack([python, welding]), "twice": torch.stack([python, python])}
    cvs = ChunkVectors.pad({i: v.numpy() for i, v in cv.items()}, ["both", "twice"])
    both, twice = CompareAggregate(DIM).evidence(jd, cvs).covered
    assert both.sum() > twice.sum() + 0.5
    assert both.min() > 0.9 > 0.1 > twice[1]


def test_months_of_several_experiences_add_up_and_lines_of_one_do_not():
    u = np.eye(DIM)[:1]

    def covered(months):
        cv = ChunkVectors.pad({"cv": np.repeat(u, len(months), 0)}, ["cv"], {"cv": months})
        model = CompareAggregate(DIM, months=True)
        return model.evidence(ChunkVectors.pad({"jd": u}, ["jd"]), cv).covered.item()

    one, twice_told = [(12, 0, 1, 0)], [(12, 0, 0.5, 0), (12, 0, 0.5, 0)]
    two_jobs, long_ago = [(12, 0, 1, 0), (12, 0, 1, 1)], [(12, 240, 1, 0)]
    assert covered(np.array(twice_told)) == pytest.approx(covered(np.array(one)))
    assert covered(np.array(two_jobs)) > covered(np.array(one)) + 0.05
    assert covered(np.array(long_ago)) < covered(np.array(one)) / 2


def test_word_cosines_are_those_of_dense_vectors():
    jd, cv = sides([(3, 4), (1, 2)], 5, more=(1, 0))

    def dense(side):
        table = torch.zeros(*side.words.shape[:2], 9)
        return table.scatter_add(2, side.words[..., 0].long(), side.words[..., 1])

    expected = torch.einsum("pit,pkt->pik", dense(jd), dense(cv)).double()
    torch.testing.assert_close(word_cosines(jd, cv), expected, atol=1e-6, rtol=0)


def test_word_cosines_of_a_batch_are_those_of_each_pair_alone():
    jd, cv = sides([(3, 4), (1, 2), (2, 5)], 6, more=(1, 0))
    together = word_cosines(jd, cv)
    for pair in range(3):
        at = torch.tensor([pair])
        own_jd, own_cv = (side.take(at) for side in (jd, cv))
        alone = word_cosines(own_jd, own_cv)
        (_, i, k) = alone.shape
        assert torch.equal(together[pair, :i, :k], alone[0])
        assert not together[pair, i:].any()
        assert not together[pair, :, k:].any()


def test_word_cosines_without_any_word_are_0():
    jd, cv = sides([(3, 4), (1, 2)], 5)
    assert jd.words is not None
    silent = replace(jd, words=torch.zeros_like(jd.words))
    for asked, said in ((silent, cv), (jd, replace(cv, words=torch.zeros_like(cv.words)))):
        assert not word_cosines(asked, said).any()


def test_the_strongest_of_one_place_is_that_of_many_places():
    """The short way and the general one agree, and so do their gradients, at ties too."""
    rng = torch.Generator().manual_seed(0)
    # Not 0, since scatter_reduce shares the gradient of a maximum of 0 with its empty start.
    s = torch.randint(1, 5, (3, 5, 6), generator=rng).double()
    mask = torch.arange(6) < torch.tensor([[6], [1], [3]])
    found = []
    for many in (False, True):
        p = s.clone().requires_grad_()
        place = torch.zeros(3, 6, dtype=torch.long)
        if many:  # a further pair whose last chunk is in another place
            more = torch.zeros(1, 6, dtype=torch.long)
            more[0, 5] = 1
            wide = torch.cat([s[:1], p]), torch.cat([mask[:1], mask]), torch.cat([more, place])
            best = strongest(wide[0], wide[0], wide[1], wide[2])[1:, :, :1]
        else:
            best = strongest(p, p, mask, place)
        (gradient,) = torch.autograd.grad(best.sum(), p)
        found.append((best, gradient))
    assert found[0][0].shape == (3, 5, 1)
    assert torch.equal(found[0][0], found[1][0])
    assert torch.equal(found[0][1], found[1][1])


@pytest.mark.parametrize("on", [{}, {"months": True, "level": True, "words": True}])
def test_sixteen_pairs_are_learnt_by_heart(on):
    torch.manual_seed(0)
    jd, cv = sides([(3, 4)] * 16, 7)
    jd, cv = (
        replace(s, vectors=s.vectors.float(), months=s.months.float(), words=s.words)
        for s in (jd, cv)
    )
    targets = torch.tensor([0.0, 0.5, 1.0, 0.0] * 4)
    model = CompareAggregate(DIM, **on)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for _ in range(400):
        loss = sigmoid_mse(model(jd, cv), targets).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.02


def test_what_it_cannot_do_is_refused_by_name():
    with pytest.raises(InputError, match="maximum=best: there is no such maximum"):
        CompareAggregate(DIM, maximum="best")
    with pytest.raises(InputError, match=r"months=true.*Write saturate: true"):
        CompareAggregate(DIM, saturate=False, months=True)
    jd, cv = sides([(1, 1)], 0)
    bare = replace(cv, months=None, words=None)
    with pytest.raises(ValueError, match=r"chunking\.by=requirement gives them"):
        model_of(months=True)(jd, bare)
    with pytest.raises(ValueError, match="the chunk vectors have none"):
        model_of(words=True)(jd, bare)


def without(side, pair, chunk):
    """One document without one of its chunks."""
    kept = side.mask[pair].clone()
    kept[chunk] = False
    fields = (side.vectors, side.mask, side.months, side.words)
    return ChunkVectors(side.ids[pair : pair + 1], *(f[pair][kept][None] for f in fields))


def test_attributions_leave_out_the_words_and_months_of_a_chunk_too():
    model = model_of(2, months=True, words=True)
    jd, cv = sides([(3, 4)], 4)
    all_but = ~torch.eye(4, dtype=torch.bool)[None]
    found = logits_of_subsets(model, jd, cv, jd.mask[:, None], all_but, 64)[0, 0]
    alone = [model(jd, without(cv, 0, chunk)).item() for chunk in range(4)]
    torch.testing.assert_close(found, torch.tensor(alone, dtype=found.dtype))


def test_an_explanation_leaves_out_the_words_of_a_chunk_too():
    model = model_of(3, words=True)
    jd, cv = sides([(2, 3)], 6)

    def encoded(name, side):
        document = Document(name, "abc")
        chunks = tuple(Chunk(name, at, at, at + 1, (at,)) for at in range(int(side.mask.sum())))
        vectors, words = side.vectors[0].numpy(), side.words[0].numpy()
        return Encoded(document, chunks, vectors, TokenChunker(1), "", words=words)

    whole = model(jd, cv).sigmoid().item()
    left_out = [model(jd, without(cv, 0, at)).sigmoid().item() for at in range(3)]
    found = explain_pair(model.float(), encoded("cv:1", cv), encoded("jd:1", jd), str)
    effects = [chunk.effect for chunk in found.cv]
    assert effects == pytest.approx([whole - score for score in left_out], abs=1e-5)
