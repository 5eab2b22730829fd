"""Sampling: plan, before the first update, which pairs each update uses (balanced or natural).

A plan depends only on the labels, the settings and the seed. A resumed training makes the same plan
again and continues at its step, so a checkpoint needs no state of the sampler.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from jdcv_core.errors import InputError
from jdcv_core.evaluation.classification import classes_of
from jdcv_core.types import LABELS, POTENTIAL

BUCKET = 8
GOLDEN = (5**0.5 - 1) / 2


def natural_plan(
    index: np.ndarray, lengths: np.ndarray, size: int, steps: int, seed: int
) -> list[np.ndarray]:
    """Return the first `steps` of `endless_batches`: classes are as frequent as in the data."""
    batches = endless_batches(index, lengths, size, np.random.default_rng(seed))
    return [next(batches) for _ in range(steps)]


def endless_batches(
    index: np.ndarray, lengths: np.ndarray, size: int, rng: np.random.Generator
) -> Iterator[np.ndarray]:
    """Yield batches of `index` without end; each pass has every pair once, in an order from `rng`.

    Pairs of similar length share a batch, which saves padding: each pass is shuffled, the pairs of
    BUCKET batches at a time are sorted by length and cut into batches, and the batches of the pass
    are shuffled. One batch of each pass may be smaller.

    lengths: int [pair], the lengths of all pairs of the data; `index` holds positions in it

    >>> batches = endless_batches(np.arange(5), np.ones(5), 2, np.random.default_rng(0))
    >>> sorted(pair for _ in range(3) for pair in next(batches).tolist())
    [0, 1, 2, 3, 4]
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


def balanced_plan(
    index: np.ndarray,
    labels: np.ndarray,
    size: int,
    steps: int,
    seed: int,
    target: Sequence[float],
    until: float = 1.0,
) -> list[np.ndarray]:
    """Balanced sampling: plan batches whose class shares move from the data's shares to `target`.

    index:  the pairs to draw from, as indices into `labels`
    labels: int [pair], the labels of all pairs of the data
    size:   pairs in an update
    target: shares of the classes, in the order of LABELS; they sum to 1. For labels of two classes,
            see `shares_of_classes`
    until:  share of the steps after which the target is reached (the change is linear)

    First, the classes of all draws are chosen by a golden-ratio sequence: [0, 1] is divided into
    the shares of the classes, and draw g gets the class in whose part frac(offset + g * 0.618...)
    falls. Every part of this sequence is evenly spread, so after n draws the count of a class
    differs from its schedule by O(log n), while independent draws differ by the square root of n.
    Then the pairs of each class are drawn in passes: each pass draws every pair once, in a new
    order. Ours; the shares 50/25/25 to 40/30/30 come from the prototype.

    Raises InputError for a target that is not a distribution, and for a positive share of a class
    that has no pair.

    >>> labels = np.array([0, 0, 0, 0, 1, 2])
    >>> plan = balanced_plan(np.arange(6), labels, 10, 30, 0, [0.4, 0.3, 0.3], until=0.0)
    >>> (np.bincount(labels[np.concatenate(plan)]) / 300).round(1).tolist()
    [0.4, 0.3, 0.3]
    """
    goal = shares_of_classes(target, classes_of(labels))
    shares = scheduled_shares(labels[index], steps, goal, until)
    rng = np.random.default_rng([seed, 1])
    draws = (rng.random() + GOLDEN * np.arange(steps * size)) % 1.0
    edges = shares.cumsum(1)[:, :-1].repeat(size, axis=0)  # [draw class-1]
    classes = (draws[:, None] >= edges).sum(1)
    plan = np.empty(steps * size, dtype=np.int64)
    for label in range(len(LABELS)):
        mine = classes == label
        plan[mine] = _passes(index[labels[index] == label], int(mine.sum()), rng)
    return list(plan.reshape(steps, size))


def shares_of_classes(target: Sequence[float], classes: Sequence[int]) -> list[float]:
    """Return one share for each of LABELS from the shares that the user gave.

    With two classes, two shares are those of No Fit and Good Fit; of three shares, that of
    Potential Fit goes to the two others in proportion. Otherwise the shares are returned unchanged.

    >>> [round(share, 3) for share in shares_of_classes([0.4, 0.3, 0.3], (0, 2))]
    [0.571, 0.0, 0.429]
    """
    if POTENTIAL in classes or len(target) not in (2, 3) or target[0] + target[-1] <= 0:
        return list(target)
    grow = sum(target) / (target[0] + target[-1])  # so that a wrong sum stays wrong
    return [target[0] * grow, 0.0, target[-1] * grow]


def scheduled_shares(
    labels: np.ndarray, steps: int, target: Sequence[float], until: float = 1.0
) -> np.ndarray:
    """Return the share of each class at each step, float [step class]; see `balanced_plan`.

    >>> scheduled_shares(np.array([0, 0, 1, 2]), 3, [0.4, 0.3, 0.3]).round(3).tolist()
    [[0.5, 0.25, 0.25], [0.45, 0.275, 0.275], [0.4, 0.3, 0.3]]
    """
    goal = np.asarray(target, dtype=float)
    if goal.shape != (len(LABELS),) or (goal < 0).any() or abs(goal.sum() - 1) > 1e-6:
        raise InputError(
            f"training.balance {list(target)}",
            f"it needs one share for each of {', '.join(LABELS)}, with sum 1",
            "give for example [0.4, 0.3, 0.3]; labels of two classes also take [0.6, 0.4]",
        )
    if not 0 <= until <= 1:
        raise InputError(
            f"training.balance_until {until}", "it is not a share of the steps", "give 0 to 1"
        )
    natural = np.bincount(labels, minlength=len(LABELS)) / max(1, len(labels))
    if ((natural == 0) & (goal > 0)).any():
        lacking = LABELS[int(np.argmax((natural == 0) & (goal > 0)))]
        raise InputError(
            f"training.balance {list(target)}",
            f"no training pair is a {lacking}",
            "give it the share 0, or training.balance=null",
        )
    way = np.clip(np.arange(steps) / max(1, round(until * (steps - 1))), 0, 1)[:, None]
    return natural + (goal - natural) * way


def _passes(pairs: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Draw `count` pairs in passes; each pass has every pair once, in a new order."""
    if count == 0:
        return np.empty(0, dtype=np.int64)
    rounds = -(-count // len(pairs))
    return np.concatenate([rng.permutation(pairs) for _ in range(rounds)])[:count]
