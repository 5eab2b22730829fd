"""The cached step has the gradient of the plain step."""

import json
from pathlib import Path

import gloo
import numpy as np
import pytest
import small
import torch

from research.contrastive import gradient_caching
from research.contrastive.contrastive_losses import contrastive_loss
from research.contrastive.gradient_caching import (
    build_cache,
    cached_step,
    forward_backward,
    plain_step,
    random_state,
)

WORKER = Path(__file__).parent / "gloo_worker.py"


def step(how, model, size, seed=3, tile=4):
    torch.manual_seed(seed)
    value = how(model.encode, small.parted(small.texts(), size), small.loss_of(model, tile))
    return value, model.gradients(), torch.get_rng_state()


@pytest.mark.parametrize("bf16", [False, True])
@pytest.mark.parametrize("size", [1, 5, 23, 50])
def test_the_cached_step_equals_the_plain_one_with_dropout_on(size, bf16):
    """23 documents: the last micro-batch is uneven for 5, tiles of 4 for all.

    In fp32 the plain step has one large tile, so the two losses round differently, by a few units
    of 2^-24. In bf16 both have tiles of 4: the encoder then gets the same gradient to the bit and
    rounds it to bf16 in the same way, whatever the processor; a last bit that another tile changes
    could change a bf16 rounding by 2^-8 of its value. What is left in both cases is the order in
    which the fp32 gradients of at most 23 micro-batches are added: 23 * 2^-24 of the largest sum of
    absolute values, which here is below 7 times the sum.
    """
    plain, cached = small.Model(bf16=bf16), small.Model(bf16=bf16)
    expected, to_plain, after = step(plain_step, plain, size, tile=4 if bf16 else 1000)
    found, to_cached, then = step(cached_step, cached, size)
    assert found == pytest.approx(expected, rel=1e-6)
    assert to_cached.keys() == to_plain.keys()
    assert {"projection.weight", "temperature.position", "gpt2.wte.weight"} <= to_plain.keys()
    assert small.relative(to_cached, to_plain) < 7 * 23 * 2**-24  # 1e-5
    assert torch.equal(after, then)


def test_without_the_same_random_numbers_the_gradient_is_wrong(monkeypatch):
    """This is the negative control: the second forward pass has another dropout."""
    plain, cached = small.Model(), small.Model()
    _, expected, _ = step(plain_step, plain, 5)
    monkeypatch.setattr(gradient_caching, "restore_random_state", lambda state: None)
    _, found, _ = step(cached_step, cached, 5)
    assert small.relative(found, expected) > 0.05


def test_each_document_once_equals_each_pair_by_itself():
    """A plain batch encodes the documents of every positive pair; both have the same gradient."""
    model, other = small.Model(dropout=0.0), small.Model(dropout=0.0)
    step(cached_step, model, 5)
    contrast = small.contrast()
    z = other.encode(small.texts())
    rows = []
    texts = small.texts()
    for i, k in contrast.positive.tolist():  # a JD and a CV for each pair, with repeats
        rows += [texts[contrast.anchor[i]], texts[contrast.candidate[k]]]
    z = other.projection(other.encode(rows + texts))
    last = z[len(rows) :]  # candidates of the softmax and vectors of the pairs
    total = 0.0
    t = other.temperature()
    unit = torch.nn.functional.normalize(z, dim=-1)
    bank = torch.nn.functional.normalize(last, dim=-1)[contrast.candidate]
    never = {tuple(p) for p in contrast.excluded.tolist()}
    anchors, weights = contrast.positive[:, 0].tolist(), contrast.weight.tolist()
    for at, (i, weight) in enumerate(zip(anchors, weights, strict=True)):
        anchor, partner = unit[2 * at], unit[2 * at + 1]
        negatives = [c for c in range(len(bank)) if (i, c) not in never]
        s = torch.cat([(anchor @ partner)[None], bank[negatives] @ anchor]) / t
        total = total + weight * (torch.logsumexp(s, 0) - s[0])
    (total / contrast.weight.sum()).backward()
    assert small.relative(model.gradients(), other.gradients()) < 1e-5


def test_gradients_add_up_over_steps_as_accumulation_asks():
    model = small.Model()
    _, once, _ = step(cached_step, model, 5)
    _, twice, _ = step(cached_step, model, 5)
    for name, value in once.items():
        torch.testing.assert_close(twice[name], 2 * value)


def test_the_cache_is_the_gradient_of_the_loss_and_must_fit_the_micro_batches():
    model = small.Model(dropout=0.0)
    z = torch.randn(23, 16)
    loss, found = build_cache(small.loss_of(model), z)
    leaf = z.clone().requires_grad_()
    value = contrastive_loss(model.projection(leaf), small.contrast(), model.temperature())
    (expected,) = torch.autograd.grad(value, leaf)
    assert loss == pytest.approx(value.item())
    torch.testing.assert_close(found, expected)
    with pytest.raises(ValueError, match="5 representations and 23 gradients"):
        forward_backward(model.encode, [small.texts()[:5]], found, [random_state()])


@pytest.mark.slow
def test_two_processes_give_the_gradient_of_one_and_a_gather_without_gradients_does_not(tmp_path):
    gloo.run_two(WORKER, tmp_path)
    found = json.loads((tmp_path / "found.json").read_text())
    model = small.Model(dropout=0.0)
    loss, expected, _ = step(plain_step, model, 5)
    for how in ("whole loss", "own anchors"):
        ours = {n: torch.tensor(g) for n, g in found[how]["gradients"].items()}
        assert small.relative(ours, expected) < 1e-5, how
        assert np.mean(found[how]["losses"]) == pytest.approx(loss, rel=1e-5)
    wrong = {n: torch.tensor(g) for n, g in found["shortcut"]["gradients"].items()}
    assert small.relative(wrong, expected) > 0.05
