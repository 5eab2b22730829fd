"""The deletion test equals plain loops over one pair, and its interval is over JDs."""

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
import torch
from known_scorers import (
    MAXSIM,
    PAIRS,
    RECURRENT,
    SCORERS,
    Bilinear,
    Turned,
    loops,
    market,
    sides,
    slow_drop,
)
from scipy.stats import t

from research.attribution import METHODS, chunk_weights
from research.deletion_test import deletion_drop, faithfulness

close = torch.testing.assert_close


@pytest.mark.parametrize("side", ["jd", "cv"])
def test_the_deletion_drop_equals_plain_loops(side):
    both = sides(PAIRS, more=(1, 2), noise=1)
    mask = both[side == "cv"].mask
    weights = torch.randn(mask.shape, generator=torch.Generator().manual_seed(0))
    weights[~mask] = torch.tensor([torch.nan, torch.inf, 9.0]).repeat(9)[: (~mask).sum()]
    drops = deletion_drop(RECURRENT, *both, weights, side=side, at_most=3)
    for row, drop in enumerate(drops.tolist()):
        order = (-weights[row][mask[row]]).argsort().tolist()
        expected = slow_drop(loops(RECURRENT, *both, row), order, side)
        assert drop == pytest.approx(expected, nan_ok=True)  # nan where one chunk


@pytest.mark.parametrize("renamed", [0, 1])
@pytest.mark.parametrize("first", [(0, 1, 2), (1,)])
def test_ties_take_every_order_by_the_ids_of_either_side_and_the_seed(renamed, first):
    pair, many = sides([(2, 3)]), [side.take(torch.zeros(80).long()) for side in sides([(2, 3)])]
    many[renamed] = replace(many[renamed], ids=tuple(f"x:{row}" for row in range(80)))
    tied = torch.tensor([float(k in first) for k in range(3)]).expand(80, 3)
    drops = deletion_drop(RECURRENT, *many, tied)
    orders = [order for order in permutations(range(3)) if order[0] in first]
    expected = [slow_drop(loops(RECURRENT, *pair, 0), order) for order in orders]
    assert {round(d, 7) for d in drops.tolist()} == {round(d, 7) for d in expected}
    some = torch.arange(60).flip(0)[::7]
    close(deletion_drop(RECURRENT, *(s.take(some) for s in many), tied[some]), drops[some])
    assert not torch.allclose(deletion_drop(RECURRENT, *many, tied, seed=1), drops)


def test_faithfulness_is_highest_for_the_planted_order_and_lowest_for_its_reverse():
    """The score falls fastest in the right order and slowest in its reverse."""
    scorer, (jd, cv) = Turned(), market()
    cv = replace(cv, vectors=torch.nn.functional.normalize(cv.vectors, dim=-1))
    each = [loops(scorer, jd, cv, row) for row in range(36) if cv.mask[row].sum() > 1]
    every = [[slow_drop(one, order) for order in permutations(one[2])] for one in each]
    figures = faithfulness(scorer, jd, cv, draws=100)
    assert list(figures) == ["gradient_times_input", "leave_one_out", "keep_one", "random"]
    for method, extreme, sign in (("leave_one_out", max, 1), ("gradient_times_input", min, -1)):
        drops = deletion_drop(scorer, jd, cv, sign * cv.vectors[..., 0])
        assert drops[~drops.isnan()].tolist() == pytest.approx([extreme(d) for d in every])
        assert figures[method]["aopc"] == pytest.approx(drops.nanmean().item())
        gain = drops.nanmean().item() - np.mean([np.mean(d) for d in every])
        assert figures[method]["against_random"] == pytest.approx(gain, abs=0.005)
    assert figures["leave_one_out"]["low"] > 0.02
    assert figures["gradient_times_input"]["high"] < -0.02
    assert figures["random"]["low"] < 0 < figures["random"]["high"]
    again, other = (faithfulness(scorer, jd, cv, draws=100, seed=seed) for seed in (0, 1))
    assert again == figures
    assert all(other[m]["against_random"] != figures[m]["against_random"] for m in figures)


def test_the_interval_is_over_jds():
    """It equals the variance of a ratio of sums over JDs, computed from the gain of each pair."""

    def line(*rows, level=0.95):
        both = (side.take(torch.tensor(rows)) for side in market(jds=8))
        return faithfulness(Bilinear(1), *both, ["keep_one"], level=level)["keep_one"]

    gains = np.array([line(row)["against_random"] for row in range(24)]).reshape(8, 3)
    gains = gains[~np.isnan(gains).all(1)]  # nan where one chunk
    pairs, mean, jds = (~np.isnan(gains)).sum(1), np.nanmean(gains), len(gains)
    parts = np.nansum(gains - mean, 1) / pairs.sum()
    se, df = np.sqrt(jds / (jds - 1) * (parts**2).sum()), pairs.sum() ** 2 / (pairs**2).sum() - 1
    for rows, level in ((range(24), 0.95), (range(23, -1, -1), 0.5), ([*range(24)] * 2, 0.9)):
        low, high = (line(*rows, level=level)[name] for name in ("low", "high"))
        assert (low + high) / 2 == pytest.approx(mean)
        assert (high - low) / 2 == pytest.approx(t.ppf((1 + level) / 2, df) * se, rel=0.04)


def test_undefined_figures_are_nan():
    both, names = sides([(2, 1), (4, 1)]), ("aopc", "against_random", "low", "high")
    none = faithfulness(SCORERS[0], *both)
    assert {method: tuple(line) for method, line in none.items()} == dict.fromkeys(METHODS, names)
    assert np.isnan([list(line.values()) for line in none.values()]).all()
    of_jd = faithfulness(MAXSIM, *both, ["keep_one"], side="jd")["keep_one"]
    weights, _ = chunk_weights(MAXSIM, *both, "keep_one")
    drops = deletion_drop(MAXSIM, *both, weights, side="jd")
    assert of_jd["aopc"] == pytest.approx(drops.mean().item())
    one_jd = faithfulness(MAXSIM, *market(jds=1), ["keep_one"])["keep_one"]
    for line, known in ((of_jd, names), (one_jd, names[:2])):
        assert [name for name in names if not np.isnan(line[name])] == list(known)
