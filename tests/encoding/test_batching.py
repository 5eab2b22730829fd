"""Batches hold every chunk once, stay within their budget, and have the least cost."""

import random
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from thorough import examples

from jdcv_core.encoding.batching import length_batches

LENGTHS = st.lists(st.integers(1, 50), max_size=60)


def padded(lengths, batches):
    """Count the tokens with padding: each row is as long as the longest chunk of its batch."""
    return sum(len(b) * max(lengths[i] for i in b) for b in batches)


@given(LENGTHS, st.integers(1, 200), st.integers(0, 30))
def test_every_chunk_comes_once_and_only_one_too_long_breaks_the_budget(lengths, budget, call):
    batches = length_batches(lengths, budget, call)
    assert sorted(i for b in batches for i in b) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * max(lengths[i] for i in batch) <= budget


@given(LENGTHS, st.integers(1, 200), st.integers(0, 30))
def test_longest_first_and_equal_lengths_in_the_order_given(lengths, budget, call):
    order = [i for batch in length_batches(lengths, budget, call) for i in batch]
    assert order == sorted(range(len(lengths)), key=lambda i: (-lengths[i], i))


@settings(max_examples=examples(20), deadline=None)
@given(
    st.lists(st.integers(1, 12), min_size=1, max_size=8), st.integers(12, 60), st.integers(0, 20)
)
def test_no_other_cut_of_the_sorted_chunks_costs_less(lengths, budget, call):
    falling = sorted(lengths, reverse=True)
    costs = []
    for count in range(len(falling)):
        for inner in combinations(range(1, len(falling)), count):
            edges = [0, *inner, len(falling)]
            parts = [falling[a:b] for a, b in zip(edges, edges[1:], strict=False)]
            if all(len(p) * p[0] <= budget for p in parts):
                costs.append(sum(call + len(p) * p[0] for p in parts))
    ours = length_batches(lengths, budget, call)
    assert call * len(ours) + padded(lengths, ours) == min(costs)


def test_where_calls_are_free_nothing_is_padded_and_equal_lengths_go_together():
    assert length_batches([5, 7, 5, 7, 7, 3], budget=20) == [[1, 3], [4], [0, 2], [5]]


def test_batches_by_length_have_less_padding_than_arrival_order():
    lengths = [random.Random(seed).randint(20, 1024) for seed in range(200)]
    arrival = [list(range(at, at + 8)) for at in range(0, 200, 8)]
    ours = padded(lengths, length_batches(lengths, 8 * 1024, call=2048))
    assert ours < 1.15 * sum(lengths)
    assert 1.3 * ours < padded(lengths, arrival)


def test_a_budget_of_0_is_refused():
    with pytest.raises(ValueError, match="budget"):
        length_batches([1], 0)
