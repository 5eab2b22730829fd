"""Each view removes what it should remove, and changes nothing else."""

import numpy as np
import pytest
import torch
from random_chunks import padded, two_sides

from research import falsifiers
from research.chunk_attention import Attention, ChunkAttention
from research.falsifiers import RandomAttention, RandomChunkAttention

RNG = np.random.default_rng(0)
MATRICES = {
    f"{side}:{i}": RNG.normal(size=(3 + i % 4, 6)) for side in ("cv", "jd") for i in range(20)
}
VIEWS = (
    falsifiers.shuffled_chunks, falsifiers.shuffled_jds, falsifiers.cv_only, falsifiers.jd_only,
)  # fmt: skip


@pytest.mark.parametrize("view", VIEWS)
def test_a_view_is_determined_by_the_seed_and_does_not_change_its_input(view):
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
def test_all_documents_of_a_hidden_side_are_equal_and_not_zero(view, hidden):
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


def test_random_attention_stays_random_and_nothing_learns_through_its_weights():
    """Queries and keys are fixed rotations, and no gradient flows through the weights."""
    torch.manual_seed(0)
    term = RandomAttention(8, 2, 0.0)
    for layer in (term.query, term.key):
        assert not layer.weight.requires_grad
        torch.testing.assert_close(layer.weight @ layer.weight.T, torch.eye(8))
        assert (layer.weight - torch.eye(8)).abs().max() > 0.1
    x, source = (torch.randn(2, 3, 8, requires_grad=True) for _ in range(2))
    mask = torch.ones(2, 3, dtype=torch.bool)
    assert not term.weights(x, source, mask).requires_grad
    assert Attention(8, 2, 0.0).weights(x, source, mask).requires_grad
    assert term(x, source, mask).requires_grad


def test_random_chunk_attention_is_chunk_attention_with_other_terms():
    scorer, real = RandomChunkAttention(8, self_cv=False), ChunkAttention(8, self_cv=False)
    assert scorer.terms.keys() == real.terms.keys()
    assert all(type(term) is RandomAttention for term in scorer.terms.values())
    lacks = {n for n in real.state_dict() if ".norm." in n}
    assert scorer.state_dict().keys() == real.state_dict().keys() - lacks
    jd, cv = (padded(side) for side in two_sides([(2, 3), (4, 1)], 0))
    assert not torch.allclose(
        scorer.cross_attention(jd, cv), real.eval().cross_attention(jd, cv), atol=1e-3
    )
