"""A trained encoder learns what a frozen one cannot, and it holds on new documents."""

import numpy as np
import pytest
import torch
import tuned
from sklearn.metrics import roc_auc_score

from jdcv_core.training.loop import score_pairs, train
from jdcv_core.training.pairs import PairTokens
from jdcv_core.training.settings import TrainingSettings
from jdcv_core.types import Chunk, Pair

SYNONYMS = [(20, 21), (30, 31), (40, 41), (50, 51)]
"""Topics: CVs use one word and JDs another; only labels show that the two mean the same."""


def planted(seed: int, cvs: int = 160, jds: int = 160) -> PairTokens:
    rng = np.random.default_rng(seed)
    chunks, topic = {}, {}
    for side, count in (("cv", cvs), ("jd", jds)):
        for i in range(count):
            name, about = f"{side}:{i:03}", int(rng.integers(4))
            words = rng.integers(100, 120, size=6)  # few, so that they do not identify a document
            words[rng.integers(6)] = SYNONYMS[about][side == "jd"]
            topic[name], chunks[name] = about, [Chunk(name, 0, 0, 1, tuple(words.tolist()))]
    pairs = []
    for j in range(jds):
        for i in rng.permutation(cvs)[:12]:
            cv, jd = f"cv:{i:03}", f"jd:{j:03}"
            pairs.append(Pair(cv, jd, 2 if topic[cv] == topic[jd] else 0))
    return PairTokens.of(pairs, chunks)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return tuned.encoder(tmp_path_factory.mktemp("model"))


def auc(model, index) -> float:
    return roc_auc_score(model.labels[index] == 2, score_pairs(model, index))


@pytest.mark.parametrize("tuning", [pytest.param("full", marks=pytest.mark.slow), "lora"])
def test_synonyms_are_learned_and_hold_on_new_documents(encoder, tuning):
    data = planted(0)
    row = {name: i for i, name in enumerate(data.ids)}
    new_cv = data.cv_index >= row["cv:120"]
    new_jd = data.jd_index >= row["jd:120"]
    old, new = torch.where(~new_cv & ~new_jd)[0], torch.where(new_cv & new_jd)[0]
    between = torch.where(new_cv ^ new_jd)[0]
    settings = TrainingSettings(
        steps=200, batch=32, learning_rate=1e-2, precision="fp32", evaluate_every=100
    )
    model = tuned.model(encoder, data, tuning, dropout=0.0, train_on="mean")
    untrained = auc(model, new)
    train(model, old, between, settings, seed=0)
    assert abs(untrained - 0.5) < 0.2
    assert auc(model, new) > 0.9
