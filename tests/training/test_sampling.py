"""Plans of batches have the scheduled shares and each pair once per pass; the seed decides."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from thorough import examples

from jdcv_core.errors import InputError
from jdcv_core.training.sampling import balanced_plan, endless_batches, scheduled_shares

NATURAL = (0.5, 0.25, 0.25)
TARGET = (0.4, 0.3, 0.3)


def labels_of(pairs: int, seed: int) -> np.ndarray:
    counts = np.array(NATURAL) * pairs
    return np.random.default_rng(seed).permutation(np.repeat([0, 1, 2], counts.astype(int)))


@settings(max_examples=examples(6))
@given(st.integers(0, 99), st.integers(20, 200), st.sampled_from([8, 64]), st.floats(0.1, 1))
def test_the_shares_follow_the_schedule_to_within_a_percent(seed, steps, size, until):
    """This holds in every sequence of 1,000 draws, not only in total."""
    labels = labels_of(1200, seed)
    plan = balanced_plan(np.arange(1200), labels, size, steps, seed, TARGET, until)
    drawn = np.eye(3)[labels[np.concatenate(plan)]]  # [draw class]
    wanted = scheduled_shares(labels, steps, TARGET, until).repeat(size, axis=0)
    for start in range(0, max(1, len(drawn) - 999), 500):
        stretch = slice(start, start + 1000)
        off = np.abs(drawn[stretch].mean(0) - wanted[stretch].mean(0))
        assert off.max() < 0.01 + 3 / len(drawn[stretch])


def test_the_schedule_starts_with_the_datas_shares_and_ends_at_the_target():
    labels = labels_of(800, 0)
    shares = scheduled_shares(labels, 101, TARGET, until=0.5)
    np.testing.assert_allclose(shares[0], NATURAL)
    np.testing.assert_allclose(shares[25], (np.array(NATURAL) + TARGET) / 2)
    np.testing.assert_allclose(shares[50:], np.tile(TARGET, (51, 1)))
    np.testing.assert_allclose(shares.sum(1), 1)


@settings(max_examples=examples(6))
@given(st.integers(0, 99), st.integers(1, 60))
def test_within_a_class_every_pair_comes_before_any_comes_again(seed, steps):
    labels = labels_of(120, seed)
    index = np.random.default_rng(seed).permutation(120)[:100]  # the other pairs must not be drawn
    drawn = np.concatenate(balanced_plan(index, labels, 8, steps, seed, TARGET))
    assert set(drawn) <= set(index)
    for label in range(3):
        mine = drawn[labels[drawn] == label]
        size = int((labels[index] == label).sum())
        for start in range(0, len(mine), size):
            one_pass = mine[start : start + size]
            assert len(set(one_pass)) == len(one_pass)


def test_a_pair_is_drawn_independently_of_its_place_in_the_data():
    """Pairs of a class are drawn in random order: no pair is first in every pass."""
    labels = labels_of(40, 1)
    first = [balanced_plan(np.arange(40), labels, 8, 1, seed, TARGET)[0] for seed in range(400)]
    counts = np.bincount(np.concatenate(first), minlength=40)
    expected = 400 * 8 * np.array(NATURAL)[labels] / np.bincount(labels)[labels]
    assert np.abs(counts - expected).max() < 5 * np.sqrt(expected.max())


def test_the_seed_alone_decides():
    labels = labels_of(200, 2)
    plans = [balanced_plan(np.arange(200), labels, 8, 20, seed, TARGET) for seed in (1, 1, 2)]
    assert np.array_equal(plans[0], plans[1])
    assert not np.array_equal(plans[0], plans[2])


@pytest.mark.parametrize("target", [(0.5, 0.5), (0.5, 0.5, 0.5), (1.2, -0.1, -0.1)])
def test_a_target_that_is_not_a_distribution_is_refused(target):
    with pytest.raises(InputError, match="sum 1"):
        scheduled_shares(labels_of(40, 0), 5, target)


@pytest.mark.parametrize(("target", "good"), [((0.4, 0.3, 0.3), 3 / 7), ((0.6, 0.4), 0.4)])
def test_labels_of_two_classes_share_what_the_middle_one_leaves(target, good):
    """50-25-25 to 40-30-30 of three classes; of two, Good Fit rises from a quarter to 3/7."""
    labels = np.array([0, 0, 0, 2] * 20)
    plan = balanced_plan(np.arange(80), labels, 10, 100, 0, target)
    shares = [np.mean(labels[np.concatenate(part)] == 2) for part in (plan[:5], plan[-5:])]
    assert shares == pytest.approx([0.25, good], abs=0.03)
    assert {label for batch in plan for label in labels[batch].tolist()} == {0, 2}


def test_a_class_without_a_pair_cannot_be_drawn():
    with pytest.raises(InputError, match="Good Fit"):
        scheduled_shares(np.array([0, 1, 1]), 5, TARGET)


def test_each_pass_has_every_pair_once_and_similar_lengths_together():
    rng = np.random.default_rng(0)
    index, lengths = np.arange(100, 350), rng.integers(1, 30, size=400)
    batches = endless_batches(index, lengths, 16, np.random.default_rng(1))
    taken: list[np.ndarray] = []
    while sum(map(len, taken)) < len(index):
        taken.append(next(batches))
    assert sorted(np.concatenate(taken)) == index.tolist()
    inside = np.mean([np.ptp(lengths[b]) for b in taken])
    assert inside < np.ptp(lengths) / 3
    assert not np.array_equal(np.concatenate(taken), np.sort(np.concatenate(taken)))
