"""The losses equal their formulas, a slow reference and the authors' package."""

import math

import pytest
import torch
from coral_pytorch.losses import coral_loss, corn_loss
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import losses as slow
from thorough import examples

from jdcv_core.losses import OBJECTIVES, sigmoid_mse
from jdcv_core.types import LABELS, TARGETS

LOGITS_AND_TARGETS = st.lists(
    st.tuples(st.floats(-20, 20), st.sampled_from(TARGETS)), min_size=1, max_size=8
)
NAMES = list(OBJECTIVES)
each_objective = pytest.mark.parametrize("name", NAMES)
few = settings(max_examples=examples(8), deadline=None)


@st.composite
def items(draw, names=NAMES, size=20.0):
    """Draw (objective's name, logits [item outputs] as float64, labels [item])."""
    name = draw(st.sampled_from(names))
    width = OBJECTIVES[name].outputs
    row = st.tuples(
        st.integers(0, 2), st.lists(st.floats(-size, size), min_size=width, max_size=width)
    )
    labels, logits = zip(*draw(st.lists(row, min_size=1, max_size=8)), strict=True)
    return name, torch.tensor(logits, dtype=torch.float64), torch.tensor(labels)


@given(LOGITS_AND_TARGETS)
def test_it_is_the_mean_squared_error_of_the_score(pairs):
    logits, targets = torch.tensor(pairs, dtype=torch.float64).T
    errors = [(1 / (1 + math.exp(-logit)) - target) ** 2 for logit, target in pairs]
    assert sigmoid_mse(logits, targets).item() == pytest.approx(sum(errors) / len(errors))
    # Exchanging fit and misfit negates the logits: the loss is symmetric.
    turned = sigmoid_mse(-logits, 1 - targets)
    torch.testing.assert_close(turned, sigmoid_mse(logits, targets))


@given(LOGITS_AND_TARGETS)
def test_its_gradient_is_that_of_the_formula(pairs):
    logits, targets = torch.tensor(pairs, dtype=torch.float64).T
    logits = logits.clone().requires_grad_()
    sigmoid_mse(logits, targets).backward()
    score = torch.sigmoid(logits.detach())
    expected = 2 * (score - targets) * score * (1 - score) / len(pairs)
    torch.testing.assert_close(logits.grad, expected)


def test_worked_numbers():
    assert sigmoid_mse(torch.zeros(2), torch.tensor([1.0, 0.5])).item() == 0.125
    certain = torch.tensor([-1e4, 0.0, 1e4])
    assert sigmoid_mse(certain, torch.tensor(TARGETS)).item() == 0
    assert sigmoid_mse(certain.flip(0), torch.tensor(TARGETS)).item() == pytest.approx(2 / 3)


@few
@given(items())
def test_losses_and_scores_agree_with_the_slow_reference(case):
    name, logits, labels = case
    losses = OBJECTIVES[name].loss(logits, labels).tolist()
    scores = OBJECTIVES[name].score(logits).tolist()
    rows = logits.tolist()
    expected = [slow.loss(name, x, y) for x, y in zip(rows, labels.tolist(), strict=True)]
    assert losses == pytest.approx(expected, abs=1e-9)
    assert scores == pytest.approx([slow.score(name, x) for x in rows], abs=1e-12)


@few
@given(items())
def test_gradients_are_those_of_the_formulas(case):
    name, logits, labels = case
    logits.requires_grad_()
    OBJECTIVES[name].loss(logits, labels).sum().backward()
    p = torch.sigmoid(logits.detach())
    above = labels[:, None] > torch.arange(2)
    # An item with label No is not part of CORN's task 1, which predicts whether it is Good.
    belongs = torch.stack([torch.ones_like(labels), labels > 0], 1)
    expected = {
        "mse": lambda: 2 * (p - labels[:, None] / 2) * p * (1 - p),
        "softmax": lambda: logits.detach().softmax(-1) - torch.eye(3, dtype=torch.float64)[labels],
        "coral": lambda: p - above.double(),
        "corn": lambda: (p - above.double()) * belongs,
    }[name]()
    torch.testing.assert_close(logits.grad, expected)


@few
@given(items(), st.randoms(use_true_random=False))
def test_each_item_has_its_own_loss(case, random):
    name, logits, labels = case
    loss = OBJECTIVES[name].loss
    order = torch.tensor(random.sample(range(len(labels)), len(labels)))
    whole = loss(logits, labels)
    assert whole.shape == labels.shape
    torch.testing.assert_close(loss(logits[order], labels[order]), whole[order])
    alone = [loss(logits[i : i + 1], labels[i : i + 1]) for i in range(len(labels))]
    torch.testing.assert_close(torch.cat(alone), whole)
    assert loss(logits[:0], labels[:0]).shape == (0,)


@each_objective
def test_the_mean_of_micro_batches_is_the_mean_of_the_batch(name):
    """This holds even if no item of one half belongs to CORN's second task."""
    objective = OBJECTIVES[name]
    logits = torch.linspace(-3, 3, 8 * objective.outputs, dtype=torch.float64).view(8, -1)
    labels = torch.tensor([0, 0, 0, 0, 2, 1, 2, 2])
    halves = [objective.loss(logits[at], labels[at]).sum() for at in (slice(4), slice(4, 8))]
    torch.testing.assert_close(sum(halves) / 8, objective.loss(logits, labels).mean())


@few
@given(items(["coral"]))
def test_coral_is_that_of_the_authors_package(case):
    _, logits, labels = case
    levels = (labels[:, None] > torch.arange(2)).double()
    expected = coral_loss(logits, levels, reduction=None)
    torch.testing.assert_close(OBJECTIVES["coral"].loss(logits, labels), expected)


@few
@given(items(["corn"]))
def test_corn_is_that_of_the_authors_package_but_for_the_divisor(case):
    _, logits, labels = case
    sizes = len(labels) + (labels > 0).sum()  # sizes of the subsets of the two tasks
    theirs = corn_loss(logits, labels, num_classes=3) * sizes / len(labels)
    torch.testing.assert_close(OBJECTIVES["corn"].loss(logits, labels).mean(), theirs)


def test_the_divisor_of_the_authors_package_depends_on_the_labels():
    """This is why we do not use it: its mean over two halves is not its value on the whole."""
    logits, labels = torch.ones(4, 2), torch.tensor([0, 0, 2, 2])
    halves = (corn_loss(logits[:2], labels[:2], 3) + corn_loss(logits[2:], labels[2:], 3)) / 2
    assert abs(halves - corn_loss(logits, labels, 3)) > 0.05


@each_objective
def test_extreme_logits_stay_finite_in_float32(name):
    objective = OBJECTIVES[name]
    corners = torch.cartesian_prod(*[torch.tensor([-1e4, 0.0, 1e4])] * objective.outputs)
    logits = corners.view(-1, objective.outputs).repeat_interleave(3, 0).requires_grad_()
    labels = torch.arange(3).repeat(len(logits) // 3)
    loss, score = objective.loss(logits, labels), objective.score(logits)
    assert ((score >= 0) & (score <= 1)).all()
    exact = objective.loss(logits.detach().double(), labels)
    torch.testing.assert_close(loss.double(), exact, rtol=1e-6, atol=1e-6)
    for value in (loss, score):
        (gradient,) = torch.autograd.grad(value.sum(), logits)
        assert gradient.isfinite().all()
    # A certain wrong answer has a gradient, except for squared error, whose sigmoid is flat.
    (gradient,) = torch.autograd.grad(objective.loss(logits, labels).sum(), logits)
    assert name == "mse" or gradient.abs().sum(-1)[loss > 1].min() > 0.5


@few
@given(items(size=8.0))
def test_single_precision_is_near_double(case):
    name, logits, labels = case
    for single, double in (
        (OBJECTIVES[name].loss(logits.float(), labels), OBJECTIVES[name].loss(logits, labels)),
        (OBJECTIVES[name].score(logits.float()), OBJECTIVES[name].score(logits)),
    ):
        assert single.dtype == torch.float32
        assert double.dtype == torch.float64
        torch.testing.assert_close(single.double(), double, rtol=1e-5, atol=1e-6)


def logits_of(name, p):
    """Return the logits [outputs] that represent the class probabilities p [3] in an objective."""
    tail = torch.stack([p[1] + p[2], p[2]])
    return {
        "mse": lambda: torch.logit(tail.mean())[None],
        "softmax": lambda: p.log(),
        "coral": lambda: torch.logit(tail),
        "corn": lambda: torch.logit(torch.stack([tail[0], tail[1] / tail[0]])),
    }[name]()


SHARES = st.tuples(*[st.integers(1, 20)] * 3).map(
    lambda w: torch.tensor(w, dtype=torch.float64) / sum(w)
)


@few
@given(SHARES, st.sampled_from(NAMES))
def test_the_best_logits_for_shares_of_classes_score_their_mean_target(shares, name):
    """So all objectives estimate the same score."""
    best = logits_of(name, shares).requires_grad_()
    expected_loss = shares @ OBJECTIVES[name].loss(best.expand(3, -1), torch.arange(3))
    (gradient,) = torch.autograd.grad(expected_loss, best)
    torch.testing.assert_close(gradient, torch.zeros_like(gradient), atol=1e-9, rtol=0)
    mean_target = shares @ torch.tensor(TARGETS, dtype=torch.float64)
    torch.testing.assert_close(OBJECTIVES[name].score(best.detach()), mean_target)


@few
@given(SHARES, st.sampled_from(NAMES), st.integers(0, 2**31))
def test_no_other_logits_are_better(shares, name, seed):
    best = logits_of(name, shares)
    generator = torch.Generator().manual_seed(seed)
    other = best + torch.randn(best.shape, generator=generator, dtype=torch.float64)
    at_best, at_other = (
        shares @ OBJECTIVES[name].loss(x.expand(3, -1), torch.arange(3)) for x in (best, other)
    )
    assert at_best <= at_other + 1e-12


@pytest.mark.parametrize("label", [0, 2])
def test_which_losses_depend_on_the_distance_of_a_wrong_class(label):
    """The label has the same probability; the rest is on the neighbouring or the distant class."""
    near, far = torch.full((3,), 0.1), torch.full((3,), 0.1)
    near[label], far[label] = 0.3, 0.3
    near[1], far[2 - label] = 0.6, 0.6
    cost = {
        name: [o.loss(logits_of(name, p)[None], torch.tensor([label])).item() for p in (near, far)]
        for name, o in OBJECTIVES.items()
    }
    assert cost["softmax"][0] == pytest.approx(cost["softmax"][1], abs=1e-6)
    # The product of CORN's tasks is P(label), so its loss ignores the distance.
    assert cost["corn"] == pytest.approx(cost["softmax"], abs=1e-6)
    assert cost["mse"][1] > cost["mse"][0] + 0.1
    assert cost["coral"][1] > cost["coral"][0] + 0.1


@few
@given(items(["corn"]))
def test_corn_is_the_likelihood_of_the_class(case):
    _, logits, labels = case
    first, second = torch.sigmoid(logits).T
    classes = torch.stack([torch.sigmoid(-logits[:, 0]), first * (1 - second), first * second], 1)
    chance = classes.gather(1, labels[:, None])[:, 0]
    found = (-OBJECTIVES["corn"].loss(logits, labels)).exp()
    torch.testing.assert_close(found, chance, rtol=1e-6, atol=1e-12)


@few
@given(items(size=30.0), st.floats(0, 5))
def test_scores_lie_between_0_and_1_and_rise_with_the_logits(case, step):
    name, logits, _ = case
    score = OBJECTIVES[name].score
    for dtype in (torch.float32, torch.float64):
        found = score(logits.to(dtype))
        assert found.shape == logits.shape[:1]
        assert ((found >= 0) & (found <= 1)).all()
    # In softmax, the logit of No lowers the score and that of Potential moves it to the middle.
    upward = [2] if name == "softmax" else range(logits.shape[1])
    for k in upward:
        more = logits.clone()
        more[:, k] += step
        assert (score(more) >= score(logits) - 1e-15).all()


@each_objective
def test_certain_logits_score_their_target_and_cost_nothing(name):
    objective = OBJECTIVES[name]
    certain = (1 - 3e-9) * torch.eye(3, dtype=torch.float64) + 1e-9
    logits = torch.stack([logits_of(name, p) for p in certain])
    targets = torch.tensor(TARGETS, dtype=torch.float64)
    torch.testing.assert_close(objective.score(logits), targets, atol=1e-8, rtol=0)
    assert objective.loss(logits, torch.arange(3)).max() < 1e-7


def test_scores_keep_all_axes_before_the_outputs():
    for objective in OBJECTIVES.values():
        logits = torch.randn(2, 3, 4, objective.outputs)
        assert objective.score(logits).shape == (2, 3, 4)
        torch.testing.assert_close(
            objective.score(logits)[1, 2, 3], objective.score(logits[1, 2, 3])
        )


def test_outputs_fit_the_classes():
    assert {name: o.outputs for name, o in OBJECTIVES.items()} == {
        "mse": 1,
        "softmax": len(LABELS),
        "coral": len(LABELS) - 1,
        "corn": len(LABELS) - 1,
    }
    assert [name for name, o in OBJECTIVES.items() if o.shared] == ["coral"]
