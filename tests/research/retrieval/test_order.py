"""The k best of a long list are the beginning of the toolkit's order."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jdcv_core.evaluation.ranking import ranking
from research.retrieval.order import SAMPLED, _above_most, k_best

SCORES = st.lists(st.sampled_from([-np.inf, -1.0, 0.0, 0.5, 1.0]), max_size=30)


@given(SCORES, st.integers(0, 40), st.randoms())
def test_it_is_the_beginning_of_the_ranking(scores, k, draw):
    names = [f"d{n}" for n in range(len(scores))]
    draw.shuffle(names)
    places = k_best(np.array(scores), names, k)
    expected = ranking(dict(zip(names, scores, strict=True)))[:k]
    assert [names[place] for place in places] == expected


@given(SCORES, st.integers(0, 40))
def test_numbers_are_compared_as_numbers(scores, k):
    numbers = np.arange(len(scores))[::-1] + 8  # 9 comes before 10
    places = k_best(np.array(scores), numbers, k)
    expected = sorted(range(len(scores)), key=lambda p: (-scores[p], numbers[p]))[:k]
    assert places.tolist() == expected


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("k", [1, 30, 500])
def test_of_a_long_list_few_are_partitioned_and_none_is_missed(seed, k):
    rng = np.random.default_rng(seed)
    scores = rng.standard_normal(60_000)
    scores[rng.random(60_000) < 0.7] = 0.0  # as of documents that share no rare word
    if seed % 2:  # the sample sees none of the highest
        scores[::SAMPLED] = -1.0
    if seed >= 4:
        scores = np.sort(scores)
    numbers = rng.permutation(60_000)
    places = k_best(scores, numbers, k)
    assert places.tolist() == np.lexsort((numbers, -scores))[:k].tolist()
    assert len(_above_most(np.sort(scores)[::-1], 30)) < 6_000
