"""The rivals of chunk attention equal plain loops; padding, batches and order change no logit."""

from dataclasses import replace
from functools import partial
from typing import NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from random_chunks import (
    DIM,
    LENGTHS,
    SEEDS,
    documents,
    padded,
    random_weights,
    scattered,
    two_sides,
    weights_of,
)
from reference import aggregators as slow
from reference import scorers as slow_scorers
from thorough import examples

from jdcv_core.errors import InputError
from jdcv_core.losses import sigmoid_mse, squared_error
from jdcv_core.scoring import MatchHead, MeanPairs, count_parameters, pair_losses
from jdcv_core.types import ChunkVectors
from research.aggregators.pairwise import MaxSim, PooledPairs, SimilarityHistogram
from research.aggregators.pooled import PolyCodes, Pooled
from research.aggregators.readers import ParadeTransformer, RecurrentReader
from research.aggregators.widened import Widened, hidden_for
from research.chunk_attention import ChunkAttention
from research.falsifiers import RandomChunkAttention


class Rival(NamedTuple):
    make: object
    """A function from dim to a small scorer."""
    slow: object
    """The slow reference: (weights, jd, cv) → logit."""
    ordered: bool = False
    """Whether it may read the order of chunks."""
    head_alone: bool = True
    """Whether it equals the match head if each side has one chunk, for all weights."""


RIVALS = {
    "first": Rival(partial(Pooled, how="first"), slow.first, ordered=True),
    "random": Rival(partial(Pooled, how="random", seed=3), None, ordered=True),
    "mean": Rival(partial(Pooled, how="mean"), slow.mean_vectors),
    "attention": Rival(partial(Pooled, how="attention"), slow.attention_pooling),
    "poly": Rival(partial(PolyCodes, codes=3), slow.poly_codes),
    "max": Rival(partial(PooledPairs, how="max"), partial(slow.best_pairs, k=1)),
    "top 1": Rival(partial(PooledPairs, how="topk", k=1), partial(slow.best_pairs, k=1)),
    "top 3": Rival(partial(PooledPairs, how="topk", k=3), partial(slow.best_pairs, k=3)),
    "top 99": Rival(partial(PooledPairs, how="topk", k=99), partial(slow.best_pairs, k=99)),
    "sum": Rival(partial(PooledPairs, how="sum"), slow.sum_pairs),
    "maxsim": Rival(MaxSim, slow.max_sim),
    "histogram": Rival(
        partial(SimilarityHistogram, bins=5), partial(slow.histogram, width=0.5), head_alone=False
    ),
    "narrow": Rival(
        partial(SimilarityHistogram, bins=5, width=0.1),
        partial(slow.histogram, width=0.1),
        head_alone=False,
    ),
    "parade": Rival(
        partial(ParadeTransformer, heads=2, inner=6),
        partial(slow.parade, heads=2),
        head_alone=False,
    ),
    "lstm": Rival(
        partial(RecurrentReader, hidden=5), slow.recurrent, ordered=True, head_alone=False
    ),
}  # fmt: skip
NEED_FIRST = {"lstm"}
"""Scorers for which real chunks must come before padding."""
every = pytest.mark.parametrize("name", RIVALS)
SMALL = [(2, 3), (1, 1), (4, 2)]


def trained(name, seed=0, dim=DIM):
    return random_weights(RIVALS[name].make(dim), seed)


def expected(name, model, jds, cvs):
    logits, weights = [], weights_of(model)
    for row, (jd, cv) in enumerate(zip(jds, cvs, strict=True)):
        one = RIVALS[name].slow
        if name == "random":
            one = partial(slow.random, jd_id=f"cv:{row}", cv_id=f"cv:{row}", seed=3)
        logits.append(one(weights, jd.tolist(), cv.tolist()))
    return logits


def filled(side, value, more=2):
    """Add padding, and fill all padding with a value."""
    pad = torch.nn.functional.pad
    vectors, mask = pad(side.vectors, (0, 0, 0, more)), pad(side.mask, (0, more))
    return ChunkVectors(side.ids, vectors.masked_fill(~mask[..., None], value), mask)


def mean_head(model, jds, cvs):
    jd, cv = (torch.tensor(np.stack([x.mean(0) for x in side])).float() for side in (jds, cvs))
    return model.head(jd, cv)


@every
@settings(max_examples=examples(15))
@given(LENGTHS, SEEDS)
def test_every_rival_equals_plain_loops(name, lengths, seed):
    model = trained(name, seed).double()
    jds, cvs = two_sides(lengths, seed)
    if name in NEED_FIRST:
        sides = padded(jds, torch.float64), padded(cvs, torch.float64, more=2)
    else:
        sides = scattered(jds, 5, seed), scattered(cvs, 6, seed)
    np.testing.assert_allclose(model(*sides).detach(), expected(name, model, jds, cvs), atol=1e-9)


@every
@settings(max_examples=examples(15))
@given(LENGTHS, SEEDS, st.sampled_from([float("nan"), float("inf"), 1e6, -1e6, 1.0]))
def test_values_in_padding_never_change_a_logit(name, lengths, seed, value):
    model = trained(name, seed)
    jds, cvs = two_sides(lengths, seed)
    jd, cv = padded(jds), padded(cvs)
    spoilt = model(filled(jd, value), filled(cv, value, more=1))
    torch.testing.assert_close(spoilt, model(jd, cv), atol=1e-5, rtol=0)


@every
@settings(max_examples=examples(15))
@given(LENGTHS, SEEDS)
def test_the_batch_never_changes_a_logit(name, lengths, seed):
    model = trained(name, seed)
    jds, cvs = two_sides(lengths, seed)
    jd, cv = padded(jds), padded(cvs)
    alone = [model(*(x.take(torch.tensor([row])) for x in (jd, cv))) for row in range(len(jds))]
    torch.testing.assert_close(torch.cat(alone), model(jd, cv), atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", [n for n, r in RIVALS.items() if not r.ordered])
@settings(max_examples=examples(15))
@given(LENGTHS, SEEDS, st.randoms(use_true_random=False))
def test_the_order_of_chunks_never_changes_a_logit_where_promised(name, lengths, seed, random):
    model = trained(name, seed)
    sides = two_sides(lengths, seed)
    shuffled = [[m[random.sample(range(len(m)), len(m))] for m in side] for side in sides]
    whole = model(*map(padded, sides))
    torch.testing.assert_close(model(*map(padded, shuffled)), whole, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", ["first", "lstm"])
def test_the_order_of_chunks_has_an_effect_on_scorers_that_read_it(name):
    model = trained(name)
    jds, cvs = two_sides([(3, 3)], 0)
    whole = model(padded(jds), padded(cvs)).item()
    assert model(padded([jds[0][::-1].copy()]), padded(cvs)).item() != pytest.approx(whole)
    assert model(padded(jds), padded([cvs[0][::-1].copy()])).item() != pytest.approx(whole)


@pytest.mark.parametrize("name", [n for n, r in RIVALS.items() if r.head_alone])
@settings(max_examples=examples(10))
@given(st.integers(1, 4), SEEDS)
def test_with_one_chunk_a_side_they_are_the_match_head(name, count, seed):
    model = trained(name, seed)
    jds, cvs = two_sides([(1, 1)] * count, seed)
    logits = model(padded(jds, more=2), padded(cvs, more=1))
    torch.testing.assert_close(logits, mean_head(model, jds, cvs), atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", ["mean", "attention", "parade", "lstm"])
def test_untrained_they_are_the_head_on_mean_vectors(name):
    model = RIVALS[name].make(DIM).eval()
    jds, cvs = two_sides(SMALL, 0)
    torch.testing.assert_close(model(padded(jds), padded(cvs)), mean_head(model, jds, cvs))


@pytest.mark.parametrize("name", RIVALS)
def test_untrained_the_scores_rise_with_what_a_pair_has_in_common(name):
    """Documents have several noisy chunks about one topic; pairs share it more and more."""
    torch.manual_seed(0)
    model, rng = RIVALS[name].make(64).eval(), np.random.default_rng(0)
    shared = np.linspace(-1, 1, 200)
    jd = rng.normal(size=(200, 64))
    cv = shared[:, None] * jd + np.sqrt(1 - shared**2)[:, None] * rng.normal(size=(200, 64))
    lengths = rng.integers(1, 5, size=(2, 200))
    sides = [
        padded([x + 0.5 * rng.normal(size=(n, 64)) for x, n in zip(side, count, strict=True)])
        for side, count in zip((jd, cv), lengths, strict=True)
    ]
    logits = model(*sides).detach().numpy()
    assert np.corrcoef(np.argsort(np.argsort(logits)), np.arange(200))[0, 1] > 0.85


@every
def test_gradients_are_finite_and_none_flows_to_padding(name):
    model = trained(name).train()
    jds, cvs = two_sides([*SMALL, (1, 4)], 0)
    sides = [filled(padded(side), float("nan")) for side in (jds, cvs)]
    for side in sides:
        side.vectors.requires_grad_()
    sigmoid_mse(model(*sides), torch.tensor([0.0, 0.5, 1.0, 0.0])).backward()
    for side in sides:
        assert side.vectors.grad.isfinite().all()
        assert (side.vectors.grad[~side.mask] == 0).all()
        assert (side.vectors.grad[side.mask].abs().sum() > 0).all()
    for key, parameter in model.named_parameters():
        assert parameter.grad is None or parameter.grad.isfinite().all(), key


@every
def test_after_two_steps_no_parameter_is_dead_and_all_documents_of_one_chunk_train(name):
    torch.manual_seed(0)
    model = RIVALS[name].make(DIM)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-2)
    sides = [padded(side) for side in two_sides([(3, 2), (2, 3), (3, 3), (1, 1)], 0)]
    ones = [padded(documents([1] * 4, seed), more=2) for seed in (0, 1)]
    for jd, cv in (sides, ones, sides):
        optimiser.zero_grad()
        loss = sigmoid_mse(model(jd, cv), torch.tensor([0.0, 0.5, 1.0, 0.5]))
        loss.backward()
        optimiser.step()
        assert loss.isfinite()
    dead = [key for key, p in model.named_parameters() if not p.grad.abs().sum() > 0]
    assert not dead
    assert all(p.isfinite().all() for p in model.parameters())


def test_padding_never_beats_similarities_that_are_all_negative():
    jds, cvs = [np.ones((2, DIM))], [-np.ones((3, DIM))]
    for name in ("max", "top 3", "maxsim", "sum"):
        model = RIVALS[name].make(DIM)
        logits = model(padded(jds, more=2), padded(cvs, more=3))
        worst = -np.sqrt(6) if name == "sum" else -1.0
        torch.testing.assert_close(logits, torch.tensor([5 * worst - 0.5]).float())


# Scorers with one vector per document


def test_the_random_chunk_depends_only_on_the_id_and_the_seed():
    """Each chunk has its own direction, so the chosen vector identifies the chunk."""
    side = padded([np.eye(DIM)[:n] for n in (1, 2, 5, 8, 8, 8, 8)])
    side = replace(side, ids=tuple(f"jd:{c}" for c in "abcdefg"))
    picked = Pooled(DIM, "random", seed=0)._pool(side).argmax(1)
    assert (picked < side.mask.sum(1)).all()
    assert len(set(picked[3:].tolist())) > 1
    order = torch.tensor([6, 1, 1, 0, 5, 2])
    torch.testing.assert_close(
        Pooled(DIM, "random", seed=0)._pool(side.take(order)).argmax(1), picked[order]
    )
    others = [Pooled(DIM, "random", seed=s)._pool(side).argmax(1) for s in range(1, 6)]
    assert any((other != picked).any() for other in others)


def test_the_random_chunk_is_each_chunk_equally_often():
    ids = tuple(f"cv:{i}" for i in range(3000))
    vectors = torch.eye(5).repeat(3000, 1, 1)
    side = ChunkVectors(ids, vectors, (torch.arange(5) < 4).repeat(3000, 1))
    counts = Pooled(5, "random")._pool(side).sum(0)
    assert counts[4] == 0
    assert ((counts[:4] - 750).abs() < 5 * np.sqrt(750)).all()


def test_equal_codes_act_as_one_code():
    jds, cvs = two_sides(SMALL, 0)
    one, many = random_weights(PolyCodes(DIM, 1)), random_weights(PolyCodes(DIM, 4))
    many.load_state_dict({**one.state_dict(), "codes": one.codes.detach().repeat(4, 1)})
    torch.testing.assert_close(many(padded(jds), padded(cvs)), one(padded(jds), padded(cvs)))


def test_the_jd_chooses_among_poly_codes():
    """Each of two codes selects one CV chunk; the JD has more weight on the more similar one."""
    model = PolyCodes(2, codes=2)
    model.codes.data = 100 * torch.eye(2)
    jds = [np.array([[100.0, 0.0]]), np.array([[0.0, 100.0]]), np.array([[1.0, 1.0]])]
    logits = model(padded(jds), padded([np.eye(2)] * 3))
    torch.testing.assert_close(logits, torch.full((3,), 4.5))


# Scorers on the matrix of chunk pairs


def test_top_k_lies_between_the_maximum_and_the_mean_of_cosines():
    jds, cvs = two_sides([(2, 3), (1, 1), (4, 2)], 0)
    sides = padded(jds), padded(cvs)
    tops = torch.stack([PooledPairs(DIM, "topk", k)(*sides) for k in (1, 2, 3, 6, 8, 99)])
    assert (tops.diff(dim=0) <= 1e-6).all()
    torch.testing.assert_close(tops[0], PooledPairs(DIM, "max")(*sides))
    mean = PooledPairs(DIM).head.cosines(*(x.vectors for x in sides)).sum((1, 2))
    mean = mean / torch.tensor([6, 1, 8])
    torch.testing.assert_close(tops[-1], 5 * mean - 0.5)


def test_the_sum_grows_with_common_evidence_and_not_with_the_number_of_pairs():
    model = PooledPairs(DIM, "sum")
    same, apart = np.eye(DIM)[:1], np.eye(DIM)[1:2]
    repeats = [1, 2, 5, 30]
    agree = model(padded([np.repeat(same, n, 0) for n in repeats]), padded([same] * 4))
    torch.testing.assert_close(agree, torch.tensor([5 * n**0.5 - 0.5 for n in repeats]))
    nothing = model(padded([np.repeat(same, n, 0) for n in repeats]), padded([apart] * 4))
    torch.testing.assert_close(nothing, torch.full((4,), -0.5))
    rng = np.random.default_rng(0)
    spread = [
        model(*(padded(list(rng.normal(size=(2000, n, DIM)))) for _ in range(2))).std().item()
        for n in (1, 2, 6)
    ]
    assert max(spread) / min(spread) < 1.1


@settings(max_examples=examples(15))
@given(LENGTHS, SEEDS)
def test_max_sim_is_symmetric(lengths, seed):
    model, swapped = trained("maxsim", seed), trained("maxsim", seed)
    swapped.head.jd, swapped.head.cv = model.head.cv, model.head.jd
    jd, cv = map(padded, two_sides(lengths, seed))
    torch.testing.assert_close(model(jd, cv), swapped(cv, jd), atol=1e-5, rtol=0)
    torch.testing.assert_close(MaxSim(DIM)(jd, cv), MaxSim(DIM)(cv, jd), atol=1e-5, rtol=0)


def test_max_sim_finds_a_document_in_itself():
    """If a document contains the other's chunks, one direction is 1 and the other is not."""
    chunks = np.eye(DIM)
    logits = MaxSim(DIM)(padded([chunks[:2], chunks[:4]]), padded([chunks[:4], chunks[:4]]))
    torch.testing.assert_close(logits, torch.tensor([5 * (1 + 0.5) / 2 - 0.5, 4.5]))


@pytest.mark.parametrize(("bins", "off"), [(2, 0.5), (5, 0.3), (11, 0.1), (21, 0.12)])
def test_the_histogram_starts_near_the_cosine_of_one_chunk_pair(bins, off):
    model = SimilarityHistogram(2, bins)
    torch.testing.assert_close(model.centres.diff(), torch.full((bins - 1,), 2 / (bins - 1)))
    cosines = np.linspace(-1, 1, 101)
    cvs = [np.array([[c, np.sqrt(1 - c**2)]]) for c in cosines]
    logits = model(padded([np.array([[1.0, 0.0]])] * 101), padded(cvs)).detach().numpy()
    assert (np.diff(logits) > 0).all()
    np.testing.assert_allclose(logits, 5 * cosines - 0.5, atol=off)


def test_the_histogram_counts_cv_chunks_and_averages_over_jd_chunks():
    model = SimilarityHistogram(2, bins=3, width=0.01)  # mu: -1, 0, 1; a bin holds nothing else
    model.weight.data = torch.tensor([0.0, 0.0, 1.0])
    u, v = np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]])
    jds = [u, np.repeat(u, 4, 0), np.concatenate([u, v]), v]
    cvs = [np.repeat(u, 3, 0), np.repeat(u, 3, 0), np.repeat(u, 3, 0), np.repeat(u, 3, 0)]
    h = np.log(4) * np.array([1, 1, 0.5, 0])  # log(1 + 3 chunks)
    logits = model(padded(jds), padded(cvs)).detach()
    np.testing.assert_allclose(logits, 5 * h - 0.5, atol=1e-5)


# Equal numbers of parameters


def widened(scorer, dim=DIM, hidden=6, seed=0):
    return random_weights(Widened(scorer, dim, hidden), seed)


WIDE = {**{n: r.make for n, r in RIVALS.items()}, "chunk attention": ChunkAttention}


@pytest.mark.parametrize("name", [*WIDE, "mean over pairs"])
def test_widened_starts_as_its_scorer(name):
    make = WIDE.get(name, partial(MeanPairs, objective="coral", train_on="chunk_pairs"))
    scorer = random_weights(make(DIM))
    wide = Widened(scorer, DIM, 7).eval()
    jd, cv = map(padded, two_sides(SMALL, 0))
    labels = torch.tensor([0, 1, 2])
    torch.testing.assert_close(wide(jd, cv), scorer(jd, cv))
    torch.testing.assert_close(
        pair_losses(wide, jd, cv, labels), pair_losses(scorer, jd, cv, labels)
    )


@settings(max_examples=examples(15))
@given(LENGTHS, SEEDS)
def test_widened_equals_plain_loops(lengths, seed):
    model = widened(Pooled(DIM), seed=seed).double()
    weights = weights_of(model)
    own = {k.removeprefix("scorer."): w for k, w in weights.items() if k.startswith("scorer.")}
    jds, cvs = two_sides(lengths, seed)
    logits = [
        slow.mean_vectors(own, *(slow.widened(weights, side.tolist()) for side in pair))
        for pair in zip(jds, cvs, strict=True)
    ]
    spoilt = [filled(padded(side, torch.float64), float("nan")) for side in (jds, cvs)]
    np.testing.assert_allclose(model(*spoilt).detach(), logits, atol=1e-9)


@pytest.mark.parametrize("train_on", ["mean", "chunk_pairs"])
def test_widened_uses_the_losses_of_its_scorer(train_on):
    model = widened(MeanPairs(DIM, train_on=train_on)).double()
    weights = weights_of(model)
    own = {k.removeprefix("scorer."): w for k, w in weights.items() if k.startswith("scorer.")}
    jds, cvs = two_sides(SMALL, 0)
    sides = padded(jds, torch.float64), padded(cvs, torch.float64)
    labels = torch.tensor([2, 0, 1])
    losses = pair_losses(model, *sides, labels).detach()
    plain = []
    for row, label in enumerate(labels.tolist()):
        pair = [slow.widened(weights, side[row].tolist()) for side in (jds, cvs)]
        plain.append(slow_scorers.mean_pairs_loss(own, *pair, "mse", train_on, label))
    np.testing.assert_allclose(losses, plain, atol=1e-9)


def test_for_a_scorer_without_losses_widened_uses_the_squared_error():
    model = widened(Pooled(DIM))
    jd, cv = map(padded, two_sides(SMALL, 0))
    labels = torch.tensor([2, 0, 1])
    torch.testing.assert_close(
        pair_losses(model, jd, cv, labels), squared_error(model(jd, cv)[:, None], labels)
    )


@pytest.mark.parametrize("dim", [48, 256, 384])
def test_every_rival_is_brought_to_the_largest_within_5_percent(dim):
    small = {"parade", "lstm", "poly", "histogram", "narrow"}  # with their default sizes below
    makes = {n: make for n, make in WIDE.items() if n not in small}
    makes.update(parade=ParadeTransformer, lstm=RecurrentReader, poly=PolyCodes)
    makes.update(histogram=SimilarityHistogram, baseline=MeanPairs)
    makes.update(random=RandomChunkAttention)
    scorers = {name: make(dim) for name, make in makes.items()}
    largest = max(map(count_parameters, scorers.values()))
    for name, scorer in scorers.items():
        hidden = hidden_for(count_parameters(scorer), largest, dim)
        wide = Widened(scorer, dim, hidden) if hidden else scorer
        assert abs(count_parameters(wide) / largest - 1) <= 0.05, name


@settings(max_examples=examples(66))
@given(st.integers(1, 10**7), st.integers(1, 10**7), st.integers(1, 2000))
def test_the_hidden_width_is_the_nearest_or_refused(own, target, dim):
    def off(hidden):
        return abs(own + 2 * dim * hidden - target)

    try:
        hidden = hidden_for(own, target, dim)
    except ValueError:
        floor = max(0, (target - own) // (2 * dim))
        assert min(off(floor), off(floor + 1)) > 0.05 * target
    else:
        assert off(hidden) <= 0.05 * target
        assert off(hidden) <= min(off(hidden + 1), off(max(0, hidden - 1)))


def test_a_scorer_above_the_target_is_refused_above_5_percent():
    assert hidden_for(1050, 1000, 8) == 0
    with pytest.raises(ValueError, match="within 5% of 1000"):
        hidden_for(1051, 1000, 8)


# What cannot be


def test_invalid_arguments_are_refused():
    for make, message in (
        (partial(Pooled, how="fist"), "how=fist: there is no such pooling. Did you mean 'first'"),
        (
            partial(PooledPairs, how="maxx"),
            "how=maxx: there is no such pooling. Did you mean 'max'",
        ),
        (partial(PooledPairs, how="topk", k=0), "k=0"),
        (partial(PolyCodes, codes=0), "codes=0"),
        (partial(SimilarityHistogram, bins=1), "bins=1"),
        (partial(SimilarityHistogram, width=0.0), "width=0.0"),
    ):
        with pytest.raises(InputError, match=message):
            make(DIM)
    with pytest.raises(ValueError, match="dim 8 is not a multiple of heads 3"):
        ParadeTransformer(8, heads=3)
    with pytest.raises(ValueError, match="at least 1 hidden unit, got 0"):
        Widened(MatchHead(DIM), DIM, 0)
