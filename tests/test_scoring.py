"""The match head and the baseline equal plain loops; padding and batches do not change a score."""

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
from reference import scorers as slow
from thorough import examples
from torch.utils._python_dispatch import TorchDispatchMode

from jdcv_core.errors import InputError
from jdcv_core.losses import OBJECTIVES, squared_error
from jdcv_core.scoring import MatchHead, MeanPairs, count_parameters, pair_losses
from jdcv_core.types import ChunkVectors

WAYS = [("mse", "mean"), *[(name, "chunk_pairs") for name in OBJECTIVES]]
HEADS = [{}, {"outputs": 3}, {"outputs": 2}, {"outputs": 2, "shared": True}]
each_objective = pytest.mark.parametrize("objective", list(OBJECTIVES))
each_way = pytest.mark.parametrize(("objective", "train_on"), WAYS)
each_head = pytest.mark.parametrize("form", HEADS)


def labels_of(count, seed):
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 3, count))


def at_angle(cosines):
    """Make documents of one chunk: a JD along the first axis, and CVs with these cosines to it."""
    cosines = torch.as_tensor(cosines, dtype=torch.float64)
    cv = torch.zeros(len(cosines), 1, DIM, dtype=torch.float64)
    cv[:, 0, 0], cv[:, 0, 1] = cosines, (1 - cosines**2).clamp_min(0).sqrt()
    jd = torch.eye(DIM, dtype=torch.float64)[:1].expand(len(cosines), 1, DIM)
    mask = torch.ones(len(cosines), 1, dtype=torch.bool)
    ids = tuple(map(str, range(len(cosines))))
    return ChunkVectors(ids, 3 * jd, mask), ChunkVectors(ids, 0.5 * cv, mask)


@settings(max_examples=examples(13))
@given(LENGTHS, SEEDS)
def test_the_baseline_equals_plain_loops(lengths, seed):
    model = random_weights(MeanPairs(DIM), seed).double()
    jds, cvs = two_sides(lengths, seed)
    logits = model(scattered(jds, 5, seed), scattered(cvs, 6, seed))
    expected = [
        slow.mean_pairs(weights_of(model), jd.tolist(), cv.tolist())
        for jd, cv in zip(jds, cvs, strict=True)
    ]
    np.testing.assert_allclose(torch.sigmoid(logits).detach(), expected, atol=1e-10)


@settings(max_examples=examples(13))
@given(LENGTHS, SEEDS, st.integers(0, 3), st.integers(0, 3), SEEDS)
def test_padding_never_changes_the_baseline(lengths, seed, more_jd, more_cv, noise):
    model = random_weights(MeanPairs(DIM), seed)
    jds, cvs = two_sides(lengths, seed)
    spoilt = model(padded(jds, more=more_jd, noise=noise), padded(cvs, more=more_cv, noise=noise))
    torch.testing.assert_close(spoilt, model(padded(jds), padded(cvs)), atol=1e-5, rtol=0)


@settings(max_examples=examples(13))
@given(LENGTHS, SEEDS, st.randoms(use_true_random=False))
def test_batches_and_the_order_of_chunks_never_change_the_baseline(lengths, seed, random):
    model = random_weights(MeanPairs(DIM), seed)
    jds, cvs = two_sides(lengths, seed)
    whole = model(padded(jds), padded(cvs))
    alone = [model(padded([jd]), padded([cv])) for jd, cv in zip(jds, cvs, strict=True)]
    torch.testing.assert_close(torch.cat(alone), whole, atol=1e-5, rtol=0)
    shuffled = [
        [matrix[random.sample(range(len(matrix)), len(matrix))] for matrix in side]
        for side in (jds, cvs)
    ]
    torch.testing.assert_close(model(*map(padded, shuffled)), whole, atol=1e-5, rtol=0)


def test_the_baseline_is_the_head_alone_for_documents_of_one_chunk():
    model = random_weights(MeanPairs(DIM))
    jd, cv = padded(documents([1] * 9, 0)), padded(documents([1] * 9, 1))
    head = model.head(jd.vectors[:, 0], cv.vectors[:, 0])
    torch.testing.assert_close(model(jd, cv), head, atol=1e-5, rtol=1e-5)


def test_the_score_is_the_mean_of_the_scores_of_all_chunk_pairs():
    model = random_weights(MeanPairs(DIM))
    jd, cv = padded(documents([3], 0)), padded(documents([4], 1))
    scores = [
        torch.sigmoid(model.head(jd.vectors[0, i], cv.vectors[0, k]))
        for i in range(3)
        for k in range(4)
    ]
    assert torch.sigmoid(model(jd, cv)).item() == pytest.approx(sum(scores).item() / 12, abs=1e-6)
    # The mean is not over logits, where one very good chunk pair would have an unlimited effect.
    logits = [torch.logit(score).item() for score in scores]
    assert model(jd, cv).item() != pytest.approx(sum(logits) / 12, abs=1e-3)


def test_a_repeated_document_scores_as_the_document():
    model = random_weights(MeanPairs(DIM))
    (jd,), (cv,) = documents([2], 0), documents([3], 1)
    twice = model(padded([np.concatenate([jd, jd])]), padded([np.concatenate([cv, cv, cv])]))
    torch.testing.assert_close(twice, model(padded([jd]), padded([cv])), atol=1e-5, rtol=0)


def test_an_untrained_head_is_a_cosine():
    u, v = torch.randn(2, 5, DIM, generator=torch.Generator().manual_seed(0))
    expected = 5 * torch.cosine_similarity(u, v, dim=-1) - 0.5
    torch.testing.assert_close(MatchHead(DIM)(u, v), expected)


@each_objective
def test_an_untrained_score_rises_with_the_cosine(objective):
    """The range is that of one output: training starts from the same score in all objectives."""
    model = MeanPairs(DIM, objective, "chunk_pairs").double()
    scores = torch.sigmoid(model(*at_angle(np.linspace(-1, 1, 41))))
    assert (scores.diff() > 1e-4).all()
    assert scores[0] < 0.05
    assert 0.3 < scores[20] < 0.4
    assert scores[-1] > 0.9
    assert 0.7 < (scores[21] - scores[19]) / 0.1 < 1.2


def test_a_head_with_one_output_starts_as_in_earlier_versions():
    torch.manual_seed(0)
    head = MatchHead(DIM)
    drawn = torch.rand(3)
    torch.manual_seed(0)
    for _ in range(2):
        torch.nn.Linear(DIM, DIM, bias=False)
    assert torch.equal(drawn, torch.rand(3))  # and draws as many random numbers
    expected = {"jd.weight": torch.eye(DIM), "cv.weight": torch.eye(DIM)}
    expected |= {"scale": torch.tensor([5.0]), "bias": torch.tensor([-0.5])}
    found = head.state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], value) for name, value in expected.items())
    assert set(MeanPairs(DIM).state_dict()) == {f"head.{name}" for name in expected}


@each_head
def test_heads_have_matrices_for_each_output_unless_shared(form):
    head = MatchHead(DIM, **form)
    outputs = form.get("outputs", 1)
    copies = 1 if form.get("shared") else outputs
    assert count_parameters(head) == copies * (2 * DIM**2 + 1) + outputs
    u, v = torch.randn(2, 5, 4, DIM, generator=torch.Generator().manual_seed(0))
    assert head(u, v).shape == ((5, 4, outputs) if outputs > 1 else (5, 4))
    assert head(u[0, 0], v[0, 0]).shape == ((outputs,) if outputs > 1 else ())


def test_without_an_output_there_is_no_head():
    with pytest.raises(ValueError, match="at least 1 output, got 0"):
        MatchHead(DIM, outputs=0)


@settings(max_examples=examples(6))
@given(SEEDS)
def test_shared_ranks_are_consistent_for_every_pair(seed):
    """It holds before and after training if the biases decrease: logits differ only by biases."""
    head = random_weights(MatchHead(DIM, outputs=2, shared=True), seed)
    u, v = torch.randn(2, 20, DIM, generator=torch.Generator().manual_seed(seed))
    apart = head(u, v).diff(dim=-1)[:, 0]
    torch.testing.assert_close(apart, head.bias.diff().expand(20), atol=1e-5, rtol=0)
    assert (MatchHead(DIM, outputs=2, shared=True).bias.diff() < 0).all()


def test_outputs_that_are_not_shared_equal_separate_heads():
    head = random_weights(MatchHead(DIM, outputs=3))
    u, v = torch.randn(2, 5, DIM, generator=torch.Generator().manual_seed(0))
    for k in range(3):
        alone, rows = MatchHead(DIM), slice(k * DIM, (k + 1) * DIM)
        alone.load_state_dict(
            {
                name: value[rows if value.ndim > 1 else slice(k, k + 1)]
                for name, value in head.state_dict().items()
            }
        )
        torch.testing.assert_close(head(u, v)[:, k], alone(u, v))


@each_head
def test_all_pairs_at_once_equal_single_pairs(form):
    head = random_weights(MatchHead(DIM, **form))
    jd, cv = padded(documents([3, 3], 0)).vectors, padded(documents([4, 4], 1)).vectors
    logits = head.all_pairs(jd, cv)
    outputs = form.get("outputs", 1)
    assert logits.shape == ((2, 3, 4, outputs) if outputs > 1 else (2, 3, 4))
    for pair, i, k in np.ndindex(2, 3, 4):
        one = head(jd[pair, i], cv[pair, k])
        torch.testing.assert_close(logits[pair, i, k], one, atol=1e-5, rtol=0)


class LargestTensor(TorchDispatchMode):
    """Records the largest number of values that any operation inside returns."""

    values = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for tensor in torch.utils._pytree.tree_leaves(out):
            if isinstance(tensor, torch.Tensor):
                stored = tensor.untyped_storage().nbytes() // tensor.element_size()
                self.values = max(self.values, stored)
        return out


@each_head
def test_all_pairs_never_hold_every_width_of_every_chunk_pair(form):
    """This holds forward and backward: 20 x 20 chunk pairs of width 64 would be 25,600 values."""
    head = MatchHead(64, **form)
    jd, cv = torch.randn(2, 1, 20, 64)
    with LargestTensor() as largest:
        head.all_pairs(jd, cv).sum().backward()
    assert 20 * 20 <= largest.values < 20 * 20 * 64 / 2


def test_the_sides_have_their_own_matrices():
    head = random_weights(MatchHead(DIM))
    u, v = torch.randn(2, 5, DIM, generator=torch.Generator().manual_seed(0))
    assert not torch.allclose(head(u, v), head(v, u), atol=1e-3)


@settings(max_examples=examples(8), deadline=None)
@given(LENGTHS, SEEDS, st.sampled_from(WAYS))
def test_scores_and_losses_equal_plain_loops(lengths, seed, way):
    model = random_weights(MeanPairs(DIM, *way), seed).double()
    jds, cvs = two_sides(lengths, seed)
    labels = labels_of(len(jds), seed)
    sides = scattered(jds, 5, seed), scattered(cvs, 6, seed)
    rows = [(jd.tolist(), cv.tolist()) for jd, cv in zip(jds, cvs, strict=True)]
    weights = weights_of(model)
    scores = [slow.mean_pairs(weights, *row, way[0]) for row in rows]
    np.testing.assert_allclose(torch.sigmoid(model(*sides)).detach(), scores, atol=1e-10)
    losses = [
        slow.mean_pairs_loss(weights, *row, *way, label)
        for row, label in zip(rows, labels.tolist(), strict=True)
    ]
    np.testing.assert_allclose(model.losses(*sides, labels).detach(), losses, atol=1e-10)


@settings(max_examples=examples(8), deadline=None)
@given(LENGTHS, SEEDS, st.sampled_from(WAYS), st.randoms(use_true_random=False))
def test_each_pair_has_its_own_loss(lengths, seed, way, random):
    """Micro-batches, the order of pairs and their padding have no effect."""
    model = random_weights(MeanPairs(DIM, *way), seed)
    jds, cvs = two_sides(lengths, seed)
    labels = labels_of(len(jds), seed)
    whole = model.losses(padded(jds), padded(cvs), labels)
    assert whole.shape == (len(jds),)
    order = random.sample(range(len(jds)), len(jds))
    alone = [model.losses(padded([jds[i]]), padded([cvs[i]]), labels[[i]]) for i in order]
    torch.testing.assert_close(torch.cat(alone), whole[order], atol=1e-5, rtol=1e-5)


@each_way
def test_a_pair_has_the_same_weight_for_all_lengths_of_documents(objective, train_on):
    model = random_weights(MeanPairs(DIM, objective, train_on))
    (jd,), (cv,) = documents([2], 0), documents([3], 1)
    label = torch.tensor([2])
    once = model.losses(padded([jd]), padded([cv]), label)
    longer = padded([np.concatenate([jd] * 3)]), padded([np.concatenate([cv] * 2)])
    torch.testing.assert_close(model.losses(*longer, label), once)


@each_way
@pytest.mark.parametrize("garbage", [torch.inf, -torch.inf, torch.nan, 3e38, 0.0])
def test_padding_gives_neither_value_nor_gradient(objective, train_on, garbage):
    lengths, labels = [(1, 3), (4, 1), (2, 2)], torch.tensor([0, 1, 2])
    results = []
    for more, filling in ((0, 0.0), (2, garbage)):
        model = random_weights(MeanPairs(DIM, objective, train_on))
        sides = [padded(side, more=more) for side in two_sides(lengths, 0)]
        for side in sides:
            side.vectors[~side.mask] = filling
            side.vectors.requires_grad_()
        losses, logits = model.losses(*sides, labels), model(*sides)
        (losses.sum() + logits.sum()).backward()
        assert all((side.vectors.grad[~side.mask] == 0).all() for side in sides)
        results.append(
            [losses, logits]
            + [side.vectors.grad[side.mask] for side in sides]
            + [p.grad for p in model.parameters()]
        )
    for plain, spoilt in zip(*results, strict=True):
        torch.testing.assert_close(spoilt, plain, atol=1e-5, rtol=1e-5)


def test_the_loss_on_the_mean_is_that_of_the_score():
    model = random_weights(MeanPairs(DIM))
    jd, cv = padded(documents([3, 1], 0)), padded(documents([4, 2], 1))
    labels = torch.tensor([2, 1])
    expected = (torch.sigmoid(model(jd, cv)) - torch.tensor([1.0, 0.5])) ** 2
    torch.testing.assert_close(model.losses(jd, cv, labels), expected)


def test_the_two_losses_differ_by_the_variance_of_the_scores():
    on_mean, on_pairs = (random_weights(MeanPairs(DIM, "mse", way)) for way in ("mean", WAYS[1][1]))
    jd, cv = padded(documents([3, 1], 0)), padded(documents([4, 1], 1))
    labels = torch.tensor([2, 0])
    scores = torch.sigmoid(on_mean.head.all_pairs(jd.vectors[:1], cv.vectors[:1]))
    spread = torch.stack([scores.var(correction=0), torch.tensor(0.0)])  # one chunk pair has none
    difference = on_pairs.losses(jd, cv, labels) - on_mean.losses(jd, cv, labels)
    torch.testing.assert_close(difference, spread, atol=1e-6, rtol=0)
    assert spread[0] > 1e-3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("corall", "chunk_pairs"), "objective=corall: .* did you mean 'coral'"),
        (("mse", "chunk_pair"), "train_on=chunk_pair: .* did you mean 'chunk_pairs'"),
        (
            ("corn", "mean"),
            "objective corn has no loss on an averaged score. Write train_on: chunk",
        ),
        (("softmax",), "objective softmax has no loss on an averaged score"),
    ],
)
def test_wrong_names_are_refused_with_the_nearest(arguments, message):
    with pytest.raises(InputError, match=f"(?i){message}"):
        MeanPairs(DIM, *arguments)


class LogitOnly(torch.nn.Module):
    """A scorer without a method `losses`."""

    def __init__(self):
        super().__init__()
        self.head = MatchHead(DIM)

    def forward(self, jd, cv):
        return self.head(jd.vectors[:, 0], cv.vectors[:, 0])


def test_a_scorer_is_trained_by_its_own_losses_or_by_the_error_of_its_score():
    jd, cv = padded(documents([3, 1], 0)), padded(documents([4, 2], 1))
    labels = torch.tensor([2, 1])
    for way in WAYS:
        model = random_weights(MeanPairs(DIM, *way))
        assert torch.equal(pair_losses(model, jd, cv, labels), model.losses(jd, cv, labels))
    model = LogitOnly()
    expected = (torch.sigmoid(model(jd, cv)) - torch.tensor([1.0, 0.5])) ** 2
    torch.testing.assert_close(pair_losses(model, jd, cv, labels), expected)
    torch.testing.assert_close(squared_error(model(jd, cv)[:, None], labels), expected)


def test_a_wrapper_that_hides_the_losses_is_refused():
    """DistributedDataParallel and DataParallel keep their scorer in `module`."""
    jd, cv = padded(documents([3, 1], 0)), padded(documents([4, 2], 1))
    labels = torch.tensor([2, 1])
    hidden = torch.nn.DataParallel(MeanPairs(DIM, "coral", "chunk_pairs"))
    with pytest.raises(TypeError, match="DataParallel hides the losses of MeanPairs"):
        pair_losses(hidden, jd, cv, labels)
    assert pair_losses(torch.nn.DataParallel(LogitOnly()), jd, cv, labels).shape == (2,)


@each_way
def test_the_gradient_reaches_every_parameter_from_the_start(objective, train_on):
    model = MeanPairs(DIM, objective, train_on)
    jd, cv = padded(documents([2, 1, 3], 0)), padded(documents([3, 1, 2], 1))
    model.losses(jd, cv, torch.tensor([0, 1, 2])).sum().backward()
    for name, parameter in model.named_parameters():
        blocks = parameter.grad.view(model.head.copies, -1) if "weight" in name else parameter.grad
        assert (blocks.abs().amax(-1) > 1e-6).all(), name


@each_way
def test_a_planted_order_is_learned(objective, train_on):
    """The label depends on one axis, which noise hides in the cosine of whole vectors."""
    rng = np.random.default_rng(0)
    labels = labels_of(240, 0)
    jds, cvs = two_sides([(2, 3)] * 240, 1)
    for jd, cv, label in zip(jds, cvs, labels.tolist(), strict=True):
        jd[:, 0], cv[:, 0] = 2, 2 * (label - 1) + 0.3 * rng.normal(size=len(cv))
    sides = padded(jds), padded(cvs)
    train, test = torch.arange(200), torch.arange(200, 240)
    model = MeanPairs(DIM, objective, train_on)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(60):
        optimizer.zero_grad()
        pair_losses(model, *(x.take(train) for x in sides), labels[train]).mean().backward()
        optimizer.step()
    scores = torch.sigmoid(model(*(x.take(test) for x in sides)))
    means = [scores[labels[test] == label].mean().item() for label in range(3)]
    assert means[0] + 0.2 < means[1] < means[2] - 0.2
    assert np.corrcoef(scores.detach(), labels[test])[0, 1] > 0.9


def test_gradients_reach_every_parameter_and_stay_finite_at_the_ends():
    model = random_weights(MeanPairs(DIM))
    jd, cv = padded(documents([2, 1], 0)), padded(documents([3, 1], 1))
    model(jd, cv).sum().backward()
    assert all(p.grad.abs().sum() > 0 for p in model.parameters())
    for scale in (1e4, -1e4):
        model.head.scale.data.fill_(scale)
        model.zero_grad()
        logits = model(jd, cv)
        logits.sum().backward()
        assert logits.isfinite().all()
        assert all(p.grad.isfinite().all() for p in model.parameters())


@each_way
def test_losses_and_their_gradients_stay_finite_at_the_ends(objective, train_on):
    jd, cv = padded(documents([2, 1, 3], 0)), padded(documents([3, 1, 2], 1))
    for scale in (1e4, -1e4):
        model = random_weights(MeanPairs(DIM, objective, train_on))
        model.head.scale.data.fill_(scale)
        losses = model.losses(jd, cv, torch.tensor([0, 1, 2]))
        losses.sum().backward()
        assert losses.isfinite().all()
        assert all(p.grad.isfinite().all() for p in model.parameters())


def test_only_parameters_that_may_change_are_counted():
    head = MatchHead(DIM)
    assert count_parameters(head) == 2 * DIM**2 + 2
    head.cv.weight.requires_grad_(False)
    assert count_parameters(head) == DIM**2 + 2
