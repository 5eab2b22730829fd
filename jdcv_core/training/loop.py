"""The training loop of a scorer on stored chunk vectors."""

import copy
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from jdcv_core.evaluation.classification import (
    apply_thresholds,
    classification_metrics,
    tune_thresholds,
)
from jdcv_core.losses import sigmoid_mse
from jdcv_core.training.pairs import PairTensors

SCORING_BATCH = 256
BUCKET = 8


@dataclass
class TrainingSettings:
    """How a scorer is trained.

    steps:         updates
    batch:         pairs in one
    learning_rate: the highest, reached after `warmup` and falling linearly to 0
    warmup:        share of the steps
    weight_decay:  AdamW's, of matrices only
    clip:          the largest norm of the gradient
    evaluate_every: steps between two looks at validation; the best one is kept
    """

    steps: int = 150
    batch: int = 64
    learning_rate: float = 3e-4
    warmup: float = 0.1
    weight_decay: float = 0.01
    clip: float = 1.0
    evaluate_every: int = 30


@dataclass
class Trained:
    """What training found: the cuts between classes, tuned on validation, and its course.

    course: one entry per look at validation: step, train_loss (mean since the last look),
            validation_weighted_f1
    """

    thresholds: tuple[float, float] = (0.0, 0.0)
    validation_weighted_f1: float = -1.0
    step: int = 0
    seconds: float = 0.0
    course: list[dict[str, float]] = field(default_factory=list)


def train_scorer(
    scorer: nn.Module,
    data: PairTensors,
    train: Tensor,
    validation: Tensor,
    settings: TrainingSettings,
    seed: int,
    advance: Callable[..., None] = lambda steps=1, note=None: None,
) -> Trained:
    """Train by mean squared error of the sigmoid; keep the weights that validate best.

    scorer:            in place; afterwards it has the weights of the best look at validation
    train, validation: int [pair], indices into `data`
    seed:              of the order of pairs and of dropout. torch's global generator is left as
                       it was
    advance:           told after each step, for a progress bar

    The best look is that of the highest weighted F1 on validation, with the cuts between classes
    tuned on validation, too; of equal ones the earliest. The test pairs play no part.
    """
    started = time.perf_counter()
    order = np.random.default_rng(seed)
    optimizer = torch.optim.AdamW(_groups(scorer, settings.weight_decay), settings.learning_rate)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda s: _rate(s, settings))
    trained, best, losses = Trained(), {}, []
    batches = endless_batches(train.numpy(), data.chunk_counts(), settings.batch, order)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for step in range(1, settings.steps + 1):
            index = torch.from_numpy(next(batches))
            losses.append(_update(scorer, data, index, optimizer, settings.clip))
            schedule.step()
            advance(1, f"loss {losses[-1]:.3f}")
            if step % settings.evaluate_every == 0 or step == settings.steps:
                cuts, figure = _validate(scorer, data, validation)
                trained.course.append(
                    {
                        "step": step,
                        "train_loss": float(np.mean(losses)),
                        "validation_weighted_f1": figure,
                    }
                )
                losses = []
                if figure > trained.validation_weighted_f1:
                    trained.validation_weighted_f1, trained.thresholds = figure, cuts
                    trained.step, best = step, copy.deepcopy(scorer.state_dict())
    scorer.load_state_dict(best)
    scorer.eval()
    trained.seconds = time.perf_counter() - started
    return trained


def endless_batches(
    index: np.ndarray, lengths: np.ndarray, size: int, rng: np.random.Generator
) -> Iterator[np.ndarray]:
    """Batches of `index`, pass after pass, each pass every pair once, in an order of `rng`.

    Pairs of like length share a batch, so that less is padding: each pass is shuffled, every
    BUCKET batches' worth of it is sorted by length and cut up, and all its batches are shuffled.
    A pass's last batch may be smaller.

    lengths: of every pair of the data, by which `index` counts
    """
    while True:
        shuffled = rng.permutation(index)
        batches = []
        for start in range(0, len(shuffled), BUCKET * size):
            window = shuffled[start : start + BUCKET * size]
            window = window[np.argsort(lengths[window], kind="stable")]
            batches += [window[at : at + size] for at in range(0, len(window), size)]
        for at in rng.permutation(len(batches)):
            yield batches[at]


@torch.inference_mode()
def score_pairs(scorer: nn.Module, data: PairTensors, index: Tensor) -> np.ndarray:
    """The scores in [0, 1] of the pairs at `index`, float64 [pair]. `scorer` stays in eval mode."""
    scorer.eval()
    scores = np.empty(len(index))
    order = np.argsort(data.chunk_counts()[index.numpy()], kind="stable")  # less padding
    for at in np.split(order, range(SCORING_BATCH, len(order), SCORING_BATCH)):
        scores[at] = torch.sigmoid(scorer(*data.sides(index[torch.from_numpy(at)]))).numpy()
    return scores


def _update(
    scorer: nn.Module,
    data: PairTensors,
    index: Tensor,
    optimizer: torch.optim.Optimizer,
    clip: float,
) -> float:
    scorer.train()
    loss = sigmoid_mse(scorer(*data.sides(index)), data.targets(index))
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(scorer.parameters(), clip)
    optimizer.step()
    return loss.item()


def _validate(
    scorer: nn.Module, data: PairTensors, validation: Tensor
) -> tuple[tuple[float, float], float]:
    scores = score_pairs(scorer, data, validation)
    labels = data.labels[validation].numpy()
    cuts = tune_thresholds(scores, labels)
    metrics = classification_metrics(labels, apply_thresholds(scores, cuts), scores)
    return cuts, metrics["weighted_f1"]


def _groups(scorer: nn.Module, decay: float) -> list[dict]:
    """Matrices with weight decay; vectors and numbers without."""
    matrices = [p for p in scorer.parameters() if p.ndim >= 2]
    others = [p for p in scorer.parameters() if p.ndim < 2]
    return [
        {"params": matrices, "weight_decay": decay},
        {"params": others, "weight_decay": 0.0},
    ]


def _rate(step: int, settings: TrainingSettings) -> float:
    """The share of the learning rate at a step: up in the warm-up, then down to 0."""
    warmup = max(1, round(settings.warmup * settings.steps))
    if step < warmup:
        return (step + 1) / warmup
    return max(0.0, (settings.steps - step) / max(1, settings.steps - warmup))
