"""How the pairs are parted, in numbers: groups, labels and shares in, one part a pair out. Ours.

Arrays over the pairs: `group` (number of the pair's CV or JD group, from 0), `label`. `share` is
what each part should get, its sum 1. The parts returned are 0, 1, … in the order of `share`.
"""

from collections.abc import Sequence

import numpy as np

from jdcv_core.types import LABELS

TRIES = 200
"""Seeded shuffles of which the best balanced is taken."""
MAX_SWEEPS = 20
BALANCE = 2.0
"""How much a deviation from the shares weighs against a discarded pair, see `_cost`."""


def by_pair(label: np.ndarray, share: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """[pair] part. Class by class, so that a rare class is in every part if it can be."""
    part = np.zeros(len(label), dtype=np.int64)
    for value in np.unique(label):
        mine = rng.permutation(np.flatnonzero(label == value))
        validation, test = (max(1, round(share[p] * len(mine))) for p in (1, 2))
        part[mine[:validation]] = 1
        part[mine[validation : validation + test]] = 2
    return part


def grouped(
    group: np.ndarray, label: np.ndarray, share: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """[pair] part, whole groups together: the best balanced of TRIES shuffles of the groups."""
    size, total = np.bincount(group), np.bincount(label, minlength=len(LABELS))
    tries = (_shuffled(size, share, rng)[group] for _ in range(TRIES))
    return min(tries, key=lambda part: _cost(_counts(part, label, len(share)), share, total))


def disjoint(
    group: tuple[np.ndarray, np.ndarray],
    label: np.ndarray,
    share: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """[pair] part, 3 = discarded: CVs and JDs are both parted, a pair is kept if its sides agree.

    If the sides are parted at random with shares a_p and b_p, a_p b_p of all pairs are kept in
    part p. With a_p b_p = K f_p (the asked fractions f, the kept share K), Cauchy and Schwarz give
    √K Σ√f_p = Σ√(a_p b_p) ≤ 1, with equality for a_p = b_p = √f_p / Σ√f_q. So the sides are parted
    in proportion to √f, which keeps the most that chance can keep: 1 / (Σ√f_p)², 39% at 70/10/20.
    From there the groups are moved, one at a time, to the part that lowers `_cost`, until none
    does. That follows the data: 81 to 87% of the 635 real pairs are kept, where most CVs are in
    one or two pairs, and 60% of 8,000 pairs between 640 CVs and 350 JDs drawn at random.
    """
    root = np.sqrt(share) / np.sqrt(share).sum()
    sizes = [np.bincount(g) for g in group]
    total = np.bincount(label, minlength=len(LABELS))

    def cost(sides: Sequence[np.ndarray]) -> tuple[int, float]:
        return _cost(_counts(_agreed(sides, group), label, 3), share, total)

    tries = ([_shuffled(size, root, rng) for size in sizes] for _ in range(TRIES))
    sides = min(tries, key=cost)
    for _ in range(MAX_SWEEPS):
        moved = [_sweep(sides, group, label, share, mine, rng) for mine in (0, 1)]
        if not any(moved):
            break
    return _agreed(sides, group)


def _sweep(
    sides: Sequence[np.ndarray],
    group: tuple[np.ndarray, np.ndarray],
    label: np.ndarray,
    share: np.ndarray,
    mine: int,
    rng: np.random.Generator,
) -> bool:
    """Move each group of one side to its best part, in place; whether any moved."""
    parts, classes = len(share), len(LABELS)
    total = np.bincount(label, minlength=classes)
    counts = _counts(_agreed(sides, group), label, parts)
    # table[g, p, c]: pairs of group g and class c whose other side is in part p
    table = np.zeros((len(sides[mine]), parts, classes), dtype=np.int64)
    np.add.at(table, (group[mine], sides[1 - mine][group[1 - mine]], label), 1)
    moved = False
    for g in rng.permutation(len(table)):
        here = sides[mine][g]
        counts[here] -= table[g, here]
        options = []
        for p in (here, *(p for p in range(parts) if p != here)):  # staying wins a tie
            counts[p] += table[g, p]
            options.append((_cost(counts, share, total), p))
            counts[p] -= table[g, p]
        best = min(options, key=lambda option: option[0])[1]
        counts[best] += table[g, best]
        sides[mine][g] = best
        moved |= best != here
    return moved


def _agreed(sides: Sequence[np.ndarray], group: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """[pair] the part that both sides are in, 3 where they differ."""
    one, other = (side[g] for side, g in zip(sides, group, strict=True))
    return np.where(one == other, one, 3)


def _shuffled(size: np.ndarray, share: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """[group] part: the groups in random order, cut where their pairs reach the shares."""
    order = rng.permutation(len(size))
    middle = np.cumsum(size[order]) - size[order] / 2
    part = np.empty(len(size), dtype=np.int64)
    part[order] = np.searchsorted(np.cumsum(share)[:-1] * size.sum(), middle)
    return part


def _counts(part: np.ndarray, label: np.ndarray, parts: int) -> np.ndarray:
    """[part, class] numbers of pairs; discarded ones are not counted."""
    kept = part < parts
    flat = part[kept] * len(LABELS) + label[kept]
    return np.bincount(flat, minlength=parts * len(LABELS)).reshape(parts, len(LABELS))


def _cost(counts: np.ndarray, share: np.ndarray, total: np.ndarray) -> tuple[int, float]:
    """How bad a split is: first the classes absent from a part, then imbalance and discards.

    With K the kept share of all pairs, part p should have K share_p total_c pairs of class c; call
    it e. The second figure is BALANCE · Σ (counts - e)² / (e total_c) + (1 - K): each class weighs
    the same, however rare it is.
    """
    there = total > 0
    counts, total = counts[:, there], total[there]
    kept = counts.sum() / total.sum()
    absent = int((counts == 0).sum())
    if kept == 0:
        return absent, np.inf
    expected = kept * np.outer(share, total)
    deviation = ((counts - expected) ** 2 / (expected * total)).sum()
    return absent, float(BALANCE * deviation + 1 - kept)
