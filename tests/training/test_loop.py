"""Learning tests: planted effects are learned, and no effect is found in random labels."""

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from jdcv_core.evaluation.classification import (
    apply_thresholds,
    classification_metrics,
    tune_thresholds,
)
from jdcv_core.scoring import MeanPairs
from jdcv_core.training.loop import score_pairs, train
from jdcv_core.training.pairs import PairTensors
from jdcv_core.training.settings import TrainingSettings
from jdcv_core.training.state import Trained
from jdcv_core.training.trainable import OnVectors
from jdcv_core.types import TARGETS, Pair
from research.chunk_attention import ChunkAttention

DIM = 32


def planted(cvs: int, jds: int, seed: int, length: tuple[int, int] = (1, 8)) -> PairTensors:
    """Make pairs whose label depends on both whole documents.

    Every document has one chunk about its topic, a direction in the space, among chunks of noise.
    A pair is a Good Fit if the topics are equal and a No Fit otherwise. Noise chunks dilute the
    mean over chunk pairs.
    """
    rng = np.random.default_rng(seed)
    topics = np.linalg.qr(rng.normal(size=(DIM, DIM)))[0][:8]
    about: dict[str, int] = {}
    matrices: dict[str, np.ndarray] = {}
    for side, count in (("cv", cvs), ("jd", jds)):
        for i in range(count):
            name, topic = f"{side}:{i}", int(rng.integers(8))
            chunks = rng.normal(size=(int(rng.integers(*length)), DIM)) * 0.08
            chunks[rng.integers(len(chunks))] += topics[topic]
            about[name], matrices[name] = topic, chunks.astype(np.float32)
    pairs = []
    for i in range(jds):
        for j in rng.permutation(cvs)[:16]:
            cv, jd = f"cv:{j}", f"jd:{i}"
            pairs.append(Pair(cv, jd, 2 if about[cv] == about[jd] else 0))
    return PairTensors.of(pairs, matrices)


def train_on_vectors(
    scorer: torch.nn.Module, data: PairTensors, *arguments: object, **settings: object
) -> Trained:
    return train(OnVectors(scorer, data), *arguments, **settings)


def auc(scorer: torch.nn.Module, data: PairTensors, index: torch.Tensor) -> float:
    return roc_auc_score(data.labels[index] == 2, score_pairs(OnVectors(scorer, data), index))


@pytest.mark.parametrize("kind", [MeanPairs, ChunkAttention])
def test_sixteen_pairs_are_memorised(kind):
    """Labels and vectors are random, so only memorising helps, and the scorer is large enough."""
    rng = np.random.default_rng(0)
    pairs = [Pair(f"cv:{i}", f"jd:{i}", int(rng.integers(3))) for i in range(16)]
    names = [name for p in pairs for name in (p.cv, p.jd)]
    matrices = {n: rng.normal(size=(2, DIM)).astype(np.float32) for n in names}
    data, every = PairTensors.of(pairs, matrices), torch.arange(16)
    settings = TrainingSettings(steps=300, batch=16, learning_rate=1e-2, evaluate_every=100)
    torch.manual_seed(0)
    trained = train_on_vectors(scorer := kind(DIM), data, every, every, settings, seed=0)
    assert trained.validation_weighted_f1 == 1.0
    error = np.abs(
        score_pairs(OnVectors(scorer, data), every) - np.array(TARGETS)[data.labels[every]]
    )
    assert error.max() < 0.25


@pytest.mark.parametrize("kind", [MeanPairs, pytest.param(ChunkAttention, marks=pytest.mark.slow)])
def test_shuffled_labels_teach_nothing(kind):
    """With labels shuffled among the pairs, new JDs are ranked by chance."""
    data = planted(cvs=80, jds=80, seed=1)
    shuffled = data.labels[torch.randperm(len(data.labels), generator=torch.manual_seed(1))]
    data = PairTensors(data.jd, data.cv, data.jd_index, data.cv_index, shuffled)
    train, test = torch.where(data.jd_index < 50)[0], torch.where(data.jd_index >= 60)[0]
    validation = torch.where((data.jd_index >= 50) & (data.jd_index < 60))[0]
    torch.manual_seed(0)
    train_on_vectors(scorer := kind(DIM), data, train, validation, TrainingSettings(), seed=0)
    good = int((shuffled[test] == 2).sum())
    # the standard deviation of an AUC without signal
    noise = np.sqrt((len(test) + 1) / (12 * good * (len(test) - good)))
    assert abs(auc(scorer, data, test) - 0.5) < 4 * noise


def test_a_planted_cross_chunk_effect_is_found():
    """Chunk attention finds the one chunk that matters; the mean over pairs is diluted."""
    data = planted(cvs=120, jds=120, seed=2)
    train, test = torch.where(data.jd_index < 80)[0], torch.where(data.jd_index >= 95)[0]
    validation = torch.where((data.jd_index >= 80) & (data.jd_index < 95))[0]
    figures = {}
    for kind in (MeanPairs, ChunkAttention):
        torch.manual_seed(0)
        settings = TrainingSettings(steps=150, learning_rate=4e-3)
        train_on_vectors(scorer := kind(DIM), data, train, validation, settings, seed=0)
        figures[kind] = auc(scorer, data, test)
    assert figures[ChunkAttention] > 0.9
    assert figures[ChunkAttention] > figures[MeanPairs] + 0.1


def test_training_is_repeatable_and_leaves_the_global_generator():
    data = planted(cvs=40, jds=40, seed=3)
    every, settings = torch.arange(len(data.labels)), TrainingSettings(steps=12, evaluate_every=5)

    def weights(seed: int) -> dict[str, torch.Tensor]:
        torch.manual_seed(0)
        train_on_vectors(scorer := ChunkAttention(DIM), data, every, every, settings, seed)
        return scorer.state_dict()

    first = weights(1)
    state = torch.get_rng_state()
    assert all(torch.equal(a, b) for a, b in zip(first.values(), weights(1).values(), strict=True))
    assert torch.equal(torch.get_rng_state(), state)
    assert not all(
        torch.equal(a, b) for a, b in zip(first.values(), weights(2).values(), strict=True)
    )


def test_the_weights_of_the_best_validation_are_kept():
    """The final weights give the figure that was recorded as the best."""
    data = planted(cvs=60, jds=60, seed=4)
    train, validation = torch.where(data.jd_index < 40)[0], torch.where(data.jd_index >= 40)[0]
    settings = TrainingSettings(steps=60, learning_rate=0.3, evaluate_every=10)  # far too fast
    torch.manual_seed(0)
    trained = train_on_vectors(scorer := ChunkAttention(DIM), data, train, validation, settings, 0)
    looks = [line for line in trained.course if "validation_loss" in line]
    course = [look["validation_weighted_f1"] for look in looks]
    assert [look["step"] for look in looks] == [10, 20, 30, 40, 50, 60]
    assert trained.validation_weighted_f1 == max(course)
    assert trained.best_step == 10 * (course.index(max(course)) + 1) < trained.step == 60
    scores, labels = (
        score_pairs(OnVectors(scorer, data), validation),
        data.labels[validation].numpy(),
    )
    assert tune_thresholds(scores, labels) == trained.thresholds
    figures = classification_metrics(labels, apply_thresholds(scores, trained.thresholds), scores)
    assert figures["weighted_f1"] == trained.validation_weighted_f1


def test_scores_come_in_the_order_asked_for():
    data = planted(cvs=40, jds=60, seed=5)
    every = torch.arange(len(data.labels))
    torch.manual_seed(0)
    scorer = ChunkAttention(DIM)
    whole = score_pairs(OnVectors(scorer, data), every)
    order = torch.randperm(len(every), generator=torch.manual_seed(2))
    np.testing.assert_allclose(
        score_pairs(OnVectors(scorer, data), order), whole[order.numpy()], atol=1e-6
    )
    alone = [score_pairs(OnVectors(scorer, data), torch.tensor([i]))[0] for i in (0, 7, 300)]
    np.testing.assert_allclose(alone, whole[[0, 7, 300]], atol=1e-6)
