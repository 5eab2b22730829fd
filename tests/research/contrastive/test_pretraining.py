"""Pretraining learns from its pairs, uses no other pair, and is determined by its seed."""

from dataclasses import replace
from pathlib import Path

import gloo
import numpy as np
import pytest
import tiny_models
import torch
from safetensors.torch import load_file
from topics import SETTINGS, TOGETHER, corpus

from jdcv_core.encoding.loaders import causal_lm
from jdcv_core.encoding.lora_tuning import with_module
from jdcv_core.errors import InputError
from research.contrastive.known_fits import PairGraph
from research.contrastive.pretraining import Plan, _model, pretrain

WORKER = Path(__file__).with_name("gloo_pretrain.py")


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    folder = tiny_models.save_gpt2(tmp_path_factory.mktemp("gpt2"))
    return causal_lm(str(folder), pooling="mean", precision="fp32", batch_tokens=512)


def recall(encoder, chunks, test) -> float:
    """Compute the share of held-out JDs whose nearest held-out CV has the same topic."""
    ids = sorted({i for p in test for i in (p.jd, p.cv)})
    z = encoder.encode_chunks([chunks[i][0] for i in ids])
    z = z - z.mean(0)
    z = z / np.linalg.norm(z, axis=1, keepdims=True)
    jds, cvs = ([at for at, i in enumerate(ids) if i.startswith(s)] for s in ("jd", "cv"))
    best = (z[jds] @ z[cvs].T).argmax(1)
    return float(np.mean([ids[j][3] == ids[cvs[b]][3] for j, b in zip(jds, best, strict=True)]))


@pytest.mark.parametrize("objective", ["symmetric", "jd_to_cv", "cv_to_jd"])
def test_topics_known_only_from_pairs_are_found_on_new_documents(encoder, objective):
    chunks, train, test = corpus()
    before = recall(encoder, chunks, test)
    module, course = pretrain(
        encoder, chunks, train, test, replace(SETTINGS, objective=objective), 0
    )
    after = recall(with_module(encoder, module), chunks, test)
    assert before < 0.5
    assert after > 0.8
    looks = [line for line in course if "alignment" in line]
    assert [line["step"] for line in looks] == [0, 20, 40, 60, 80]
    assert (
        looks[-1]["uniformity"] < looks[0]["uniformity"] - 0.5
    )  # untrained vectors are close to each other
    assert course[-1]["loss"] < 0.5 * course[1]["loss"]


def test_spans_need_no_label(encoder):
    chunks, train, _ = corpus()
    unlabelled = [replace(p, label=0) for p in train]
    settings = replace(SETTINGS, objective="spans", steps=15)
    _, course = pretrain(encoder, chunks, unlabelled, [], settings, 0)
    assert course[-1]["loss"] < course[1]["loss"]


def test_dropout_views_need_no_label_and_dropout_is_on_only_in_training(encoder):
    chunks, train, _ = corpus()
    settings = replace(SETTINGS, objective="dropout", dropout=0.2, steps=10)
    module, course = pretrain(encoder, chunks, train, [], settings, 0)
    assert course[-1]["loss"] < course[1]["loss"]
    trained = with_module(encoder, module)
    one, again = (trained.encode_chunks([chunks["cv:0-0"][0]]) for _ in range(2))
    np.testing.assert_array_equal(one, again)


@pytest.mark.parametrize("mined", ["bm25", "self"])
def test_mined_cvs_are_in_the_batch_and_no_known_fit_of_their_jd(encoder, mined):
    chunks, train, _ = corpus()
    texts = {i: " ".join(f"w{t}" for t in own[0]) for i, own in chunks.items()}
    settings = replace(
        SETTINGS, mined=mined, mined_each=2, mined_first=0, mined_last=4, documents=20
    )
    plan = Plan(chunks, train, PairGraph(train), settings, 0)
    model = _model(encoder, settings)
    plan.rank(model, texts)
    assert plan.scores.shape == (len(plan.jds), len(plan.cvs))
    fits = {(p.jd, p.cv) for p in train if p.label > 0}
    for jd in plan.jds:
        own = plan.mined(jd, np.random.default_rng(0))
        assert len(own) == 2
        assert not {(jd, cv) for cv in own} & fits
        row = plan.scores[plan.jds.index(jd)]
        allowed = [row[at] for at, cv in enumerate(plan.cvs) if (jd, cv) not in fits]
        assert min(row[plan.cvs.index(cv)] for cv in own) >= sorted(allowed)[-4]
    with_them = plan.documents(np.random.default_rng(1))
    assert len(with_them) <= 20
    _, course = pretrain(encoder, chunks, train, [], replace(settings, steps=2), 0, texts=texts)
    assert np.isfinite(course[-1]["loss"])


def test_the_same_seed_gives_the_same_weights_and_leaves_the_generators(encoder):
    chunks, train, test = corpus()
    settings = replace(SETTINGS, steps=3, hard=2, chunks=1)
    torch.manual_seed(7)
    before = torch.get_rng_state()
    one, again, other = (
        pretrain(encoder, chunks, train, test, settings, seed)[0].state_dict() for seed in (0, 0, 1)
    )
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(one[name], again[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)


def test_a_batch_holds_training_documents_alone_each_once_and_no_more_than_asked():
    chunks, train, _ = corpus()
    seen = {i for p in train for i in (p.jd, p.cv)}
    for hard in (0, 3):
        settings = replace(SETTINGS, hard=hard, documents=20)
        plan = Plan(chunks, train, PairGraph(train), settings, 0)
        for step in range(20):
            batch = plan.documents(np.random.default_rng(step))
            assert len(batch) == len(set(batch)) <= 20
            assert set(batch) <= seen
            both = plan.contrasts(batch)
            assert len(both) == 2
            assert all(len(contrast.positive) for contrast in both)
            refused = {(p.jd, p.cv) for p in train if p.label == 0}
            pairs = [(j, c) for j in batch for c in batch if (j, c) in refused]
            assert not hard or pairs


def test_invalid_arguments_are_refused(encoder):
    chunks, train, test = corpus()
    nothing = [replace(p, label=0) for p in train]
    with pytest.raises(InputError, match="no training pair is a Good Fit"):
        pretrain(encoder, chunks, nothing, test, SETTINGS, 0)
    for wrong, said in (
        ({"objective": "symetric"}, "(?i)did you mean 'symmetric'"),
        ({"tuning": "frozen"}, "pretraining.tuning"),
        ({"documents": 2}, "Give 4 or more"),
        ({"temperature": 2.0}, "less than 1"),
        ({"documents": 4, "hard": 3}, "its hard negatives are more"),
        ({"chunks": 0}, "or null"),
        ({"objective": "dropout"}, "the two views of a chunk are equal"),
        ({"dropout": 1.5}, "it is a share"),
        ({"mined": "bm52"}, "(?i)did you mean 'bm25'"),
        ({"mined_first": 9, "mined_last": 9}, "is not a window"),
    ):
        with pytest.raises(InputError, match=said):
            replace(SETTINGS, **wrong).check()
    short = {i: [[1, 2]] for i in chunks}
    with pytest.raises(InputError, match="two spans"):
        pretrain(encoder, short, train, test, replace(SETTINGS, objective="spans"), 0)


@pytest.mark.slow
def test_two_processes_end_with_the_weights_of_one(tmp_path):
    folder = tiny_models.save_gpt2(tmp_path / "gpt2")
    gloo.run_two(WORKER, tmp_path)
    one, other = (load_file(tmp_path / f"found-{rank}.safetensors") for rank in range(2))
    encoder = causal_lm(str(folder), pooling="mean", precision="fp32", batch_tokens=512)
    start = {n: p.detach().clone() for n, p in encoder.module.named_parameters()}
    chunks, train, test = corpus()
    module, course = pretrain(encoder, chunks, train, test, TOGETHER, 0)
    alone = dict(module.named_parameters())
    losses = torch.tensor([line["loss"] for line in course if "loss" in line])
    torch.testing.assert_close(one.pop("loss"), losses, rtol=1e-4, atol=1e-5)
    other.pop("loss")
    assert one.keys() == alone.keys()
    moved = sum(float((alone[n].detach() - start[n].float()).norm()) for n in alone if n in start)
    apart = sum(float((one[n] - alone[n].detach()).norm()) for n in alone)
    assert moved > 0.1
    assert apart < 1e-3 * moved
    assert all(torch.equal(one[n], other[n]) for n in one)
