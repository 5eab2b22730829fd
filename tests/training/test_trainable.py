"""Training the encoder on tokens equals plain forward passes, encodes each document once, and has
exact sums.
"""

import numpy as np
import pytest
import torch
import tuned

from jdcv_core.encoding.whitening import Whitening
from jdcv_core.scoring import MeanPairs, pair_losses
from jdcv_core.training.loop import make_plan, score_pairs
from jdcv_core.training.pairs import PairTensors
from jdcv_core.training.trainable import OnVectors
from jdcv_core.types import Pair


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return tuned.encoder(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def data():
    return tuned.tokens()


def gradients(model, index, batch):
    """Compute the gradients of the mean loss over `index`, summed over batches."""
    model.zero_grad()
    for part in index.split(batch):
        (model(part, model.labels[part]).sum() / len(index)).backward()
    return torch.cat([p.grad.flatten() for p in model.parameters() if p.requires_grad])


def relative(found, expected):
    return ((found - expected).norm() / expected.norm()).item()


def test_before_training_the_scores_are_those_of_stored_vectors(encoder, data):
    """So a tuned row starts from the scores of the frozen row."""
    model = tuned.model(encoder, data).eval()
    matrices = {
        name: encoder.encode_chunks(chunks)
        for name, chunks in zip(data.ids, data.chunks, strict=True)
    }
    whitening = Whitening(model.mean.numpy(), model.matrix.numpy())
    pairs = [
        Pair(data.ids[cv], data.ids[jd], int(label))
        for jd, cv, label in zip(data.jd_index, data.cv_index, data.labels, strict=True)
    ]
    torch.manual_seed(0)
    stored = OnVectors(MeanPairs(encoder.dim), PairTensors.of(pairs, whitening(matrices)))
    stored.scorer.load_state_dict(model.scorer.state_dict())
    every = torch.arange(len(data.labels))
    np.testing.assert_allclose(score_pairs(model, every), score_pairs(stored, every), atol=1e-5)


def test_parts_of_a_batch_have_its_losses_and_gradient(encoder, data):
    """Documents that share no padding: each part has its own longest one."""
    model = tuned.model(encoder, data).eval()
    index = torch.arange(len(data.labels))
    documents = torch.unique(torch.cat([data.jd_index, data.cv_index]))
    stored = model.encode(documents)
    assert len(stored.vectors) == 1 + sum(len(data.chunks[i]) for i in documents.tolist())
    whole = torch.cat([model(index, model.labels), gradients(model, index, len(index))])
    model.parts = lambda index: [*torch.arange(len(index)).flip(0).split(3)]
    parts = torch.cat([model(index, model.labels), gradients(model, index, len(index))])
    torch.testing.assert_close(parts, whole, rtol=1e-4, atol=1e-6)


def test_each_document_of_a_batch_goes_through_the_encoder_once(encoder, data, monkeypatch):
    model = tuned.model(encoder, data)
    seen = []
    run = encoder.vectors
    monkeypatch.setattr(
        encoder, "vectors", lambda module, own, packed: seen.extend(own) or run(module, own, packed)
    )
    index = torch.tensor([0, 1, 2, 3, 10, 11, 12, 13])  # two CVs with the same four JDs
    model(index)
    documents = {*data.jd_index[index].tolist(), *data.cv_index[index].tolist()}
    assert len(documents) == 6
    assert sorted(seen) == sorted(chunk for d in documents for chunk in data.chunks[d])
    assert model.work(index) == sum(map(len, seen))


@pytest.mark.parametrize("train_on", ["mean", "chunk_pairs"])
@pytest.mark.parametrize("tuning", ["full", "lora", "reader"])
def test_eight_batches_of_eight_give_the_gradient_of_sixty_four(encoder, data, tuning, train_on):
    model = tuned.model(encoder, data, tuning, dropout=0.0, train_on=train_on).double()
    index = torch.randperm(len(data.labels), generator=torch.manual_seed(1))[:64]
    whole = gradients(model, index, 64)
    assert whole.norm() > 0
    assert relative(gradients(model, index, 8), whole) < 1e-6
    assert relative(gradients(model, index, 5), whole) < 1e-6  # the last batch is smaller
    # If batch means were averaged instead, smaller batches would have too much weight.
    assert relative(gradients(model, index[:60], 8), whole) > 1e-3


def test_accumulation_in_single_precision(encoder, data):
    model = tuned.model(encoder, data, dropout=0.0)
    index = torch.randperm(len(data.labels), generator=torch.manual_seed(1))[:64]
    assert relative(gradients(model, index, 8), gradients(model, index, 64)) < 1e-5


def test_a_pairs_loss_depends_neither_on_its_batch_nor_on_the_order(encoder, data):
    model = tuned.model(encoder, data, dropout=0.0).eval()
    index = torch.tensor([3, 50, 7, 7, 99])
    losses = model(index, model.labels[index])
    alone = torch.cat([model(i[None], model.labels[i][None]) for i in index])
    torch.testing.assert_close(losses, alone, atol=1e-5, rtol=1e-5)
    jd, cv = model.sides(index)(torch.arange(5))
    torch.testing.assert_close(losses, pair_losses(model.scorer, jd, cv, model.labels[index]))


@pytest.mark.parametrize("tuning", ["full", "lora", "prefix"])
def test_gradient_checkpointing_changes_no_gradient_with_dropout_on(encoder, data, tuning):
    found = []
    index = torch.arange(16)
    for checkpointing in (False, True):
        model = tuned.model(encoder, data, tuning, checkpointing=checkpointing).train()
        torch.manual_seed(3)
        found.append(gradients(model, index, 8))
    assert relative(found[1], found[0]) < 1e-6
    model = tuned.model(encoder, data, tuning).train()
    torch.manual_seed(4)
    assert relative(gradients(model, index, 8), found[0]) > 1e-3  # dropout has an effect


def test_only_trained_parameters_get_a_gradient(encoder, data):
    for tuning in ("full", "lora"):
        model = tuned.model(encoder, data, tuning)
        gradients(model, torch.arange(8), 8)
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                assert parameter.grad is not None, name
            else:
                assert "lora" not in name
        trained = [n for n, p in model.named_parameters() if p.requires_grad]
        assert any(n.startswith("scorer.") for n in trained)
        assert any(n.startswith("module.") for n in trained)


def test_bf16_is_close_to_fp32_but_not_equal(encoder, data):
    every = torch.arange(40)
    exact = score_pairs(tuned.model(encoder, data), every)
    rough = score_pairs(tuned.model(encoder, data, precision="bf16"), every)
    assert 0 < np.abs(rough - exact).max() < 0.05


def test_the_plan_is_made_of_training_pairs_and_is_the_same_every_time(encoder, data):
    model = tuned.model(encoder, data)
    train, validation = tuned.parts(data)
    plans = [make_plan(model, train.numpy(), tuned.SETTINGS, seed) for seed in (0, 0, 1)]
    assert set(np.concatenate(plans[0])) <= set(train.tolist())
    assert not set(np.concatenate(plans[0])) & set(validation.tolist())
    assert all(np.array_equal(a, b) for a, b in zip(plans[0], plans[1], strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(plans[0], plans[2], strict=True))
