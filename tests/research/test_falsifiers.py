"""What each view takes away, and what it leaves."""

import numpy as np
import pytest

from research import falsifiers

RNG = np.random.default_rng(0)
MATRICES = {
    f"{side}:{i}": RNG.normal(size=(3 + i % 4, 6)) for side in ("cv", "jd") for i in range(20)
}
VIEWS = (
    falsifiers.shuffled_chunks, falsifiers.shuffled_jds, falsifiers.cv_only, falsifiers.jd_only,
)  # fmt: skip


@pytest.mark.parametrize("view", VIEWS)
def test_a_view_follows_from_the_seed_and_leaves_its_input(view):
    before = {i: m.copy() for i, m in MATRICES.items()}
    one, again = view(MATRICES, 3), view(dict(reversed(MATRICES.items())), 3)
    other = view(MATRICES, 4)
    assert one.keys() == MATRICES.keys()
    assert all(np.array_equal(one[i], again[i]) for i in one)
    assert any(not np.array_equal(one[i], other[i]) for i in one)
    assert all(np.array_equal(before[i], MATRICES[i]) for i in before)


def test_shuffled_chunks_are_the_same_chunks_in_another_order():
    found = falsifiers.shuffled_chunks(MATRICES, 0)
    for i, matrix in MATRICES.items():
        assert sorted(matrix.tolist()) == sorted(found[i].tolist())
    assert any(not np.array_equal(found[i], MATRICES[i]) for i in found)


def test_shuffled_jds_gives_every_jd_another_ones_chunks_and_each_is_used_once():
    found = falsifiers.shuffled_jds(MATRICES, 0)
    jds = [i for i in MATRICES if i.startswith("jd:")]
    owners = [next(j for j in jds if found[i] is MATRICES[j]) for i in jds]
    assert sorted(owners) == sorted(jds)
    assert all(i != owner for i, owner in zip(jds, owners, strict=True))
    assert all(found[i] is MATRICES[i] for i in MATRICES if i.startswith("cv:"))
    with pytest.raises(ValueError, match="one JD"):
        falsifiers.shuffled_jds({"jd:1": np.ones((1, 2)), "cv:1": np.ones((1, 2))}, 0)


@pytest.mark.parametrize(
    ("view", "hidden"), [(falsifiers.cv_only, "jd"), (falsifiers.jd_only, "cv")]
)
def test_one_side_is_all_alike_and_not_zero(view, hidden):
    found = view(MATRICES, 0)
    same = [m for i, m in found.items() if i.startswith(hidden)]
    assert all(np.array_equal(m, same[0]) for m in same)
    assert same[0].shape == (1, 6)
    assert np.linalg.norm(same[0]) > 1
    assert all(found[i] is MATRICES[i] for i in found if not i.startswith(hidden))


def test_shuffled_months_are_the_same_months_on_other_dated_chunks():
    facts = {}
    for i, matrix in MATRICES.items():
        facts[i] = np.full((len(matrix), 4), np.nan)
        facts[i][:, 2:] = RNG.random((len(matrix), 2))
        facts[i][1:, :2] = RNG.integers(1, 100, (len(matrix) - 1, 2))
    found = falsifiers.shuffled_months(facts, 0)
    again = falsifiers.shuffled_months(dict(reversed(facts.items())), 0)
    for i, own in facts.items():
        np.testing.assert_array_equal(found[i], again[i])
        np.testing.assert_array_equal(found[i][:, 2:], own[:, 2:])
        assert np.isnan(found[i][0, :2]).all()
        assert sorted(map(tuple, found[i][1:, :2])) == sorted(map(tuple, own[1:, :2]))
    assert any(not np.array_equal(found[i][1:, :2], facts[i][1:, :2]) for i in facts)
