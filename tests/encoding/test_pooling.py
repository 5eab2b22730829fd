"""Pooling equals plain loops and does not depend on padding."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from thorough import examples

from jdcv_core.encoding.pooling import pool, pool_first_last

WEIGHTINGS = ("last", "mean", "weighted")


def by_hand(states, mask, how):
    """Pool in plain Python, with loops over rows and numbers."""
    rows = []
    for row in range(len(states)):
        real = [t for t in range(states.shape[1]) if mask[row, t]]
        weight = {
            "last": {t: float(t == real[-1]) for t in real},
            "mean": {t: 1 / len(real) for t in real},
            "weighted": {t: (n + 1) / sum(range(1, len(real) + 1)) for n, t in enumerate(real)},
        }[how]
        rows.append(
            [
                sum(weight[t] * float(states[row, t, d]) for t in real)
                for d in range(states.shape[2])
            ]
        )
    return torch.tensor(rows)


@settings(max_examples=examples(20), deadline=None)
@given(st.data(), st.sampled_from(WEIGHTINGS), st.integers(0, 2**31))
def test_pooling_equals_plain_loops_wherever_the_real_tokens_stand(data, how, seed):
    rows, length = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 7))
    row = st.lists(st.booleans(), min_size=length, max_size=length).filter(any)
    mask = torch.tensor(data.draw(st.lists(row, min_size=rows, max_size=rows)))
    states = torch.randn(rows, length, 3, generator=torch.Generator().manual_seed(seed))
    torch.testing.assert_close(pool(states, mask, how), by_hand(states, mask, how))


@pytest.mark.parametrize("how", WEIGHTINGS)
def test_values_in_the_padding_have_no_effect(how):
    states = torch.randn(2, 5, 4, generator=torch.Generator().manual_seed(0))
    mask = torch.tensor([[True] * 3 + [False] * 2, [True] * 5])
    spoilt = states.clone()
    spoilt[0, 3:] = float("nan")
    assert torch.equal(pool(spoilt, mask, how), pool(states, mask, how))


def test_a_worked_number():
    states = torch.tensor([[[1.0], [2.0], [4.0]]])
    mask = torch.tensor([[True, True, True]])
    assert pool(states, mask, "last").item() == 4
    assert pool(states, mask, "mean").item() == pytest.approx(7 / 3)
    assert pool(states, mask, "weighted").item() == pytest.approx((1 + 2 * 2 + 3 * 4) / 6)


def test_bf16_states_are_pooled_in_fp32():
    states = torch.full((1, 1000, 1), 1 + 2**-7, dtype=torch.bfloat16)
    pooled = pool(states, torch.ones(1, 1000, dtype=torch.bool), "mean")
    assert pooled.dtype == torch.float32
    assert pooled.item() == pytest.approx(1 + 2**-7, abs=1e-6)


def test_a_row_without_a_token_and_an_unknown_name_are_refused():
    with pytest.raises(ValueError, match="without a real token"):
        pool(torch.zeros(1, 2, 3), torch.zeros(1, 2, dtype=torch.bool), "mean")
    with pytest.raises(ValueError, match="pooling 'max' is unknown"):
        pool(torch.zeros(1, 2, 3), torch.ones(1, 2, dtype=torch.bool), "max")


@settings(max_examples=examples(13))
@given(st.lists(st.integers(1, 5), min_size=1, max_size=4), st.integers(0, 2**31))
def test_first_last_is_the_sum_of_two_mean_directions(counts, seed):
    generator = torch.Generator().manual_seed(seed)
    first, last = torch.randn(2, len(counts), max(counts) + 2, 3, generator=generator)
    mask = torch.arange(first.shape[1]) < torch.tensor(counts)[:, None]
    pooled = pool_first_last(first.masked_fill(~mask[..., None], torch.nan), last, mask)
    for row, count in enumerate(counts):
        means = [states[row, :count].sum(0) / count for states in (first, last)]
        expected = sum(mean / mean.square().sum().sqrt() for mean in means)
        torch.testing.assert_close(pooled[row], expected)
    # Neither the length of the states nor their order (first, last) has an effect.
    torch.testing.assert_close(pool_first_last(100 * last, first / 100, mask), pooled)
