"""Rows of a JD and a CV: equal to separate passes, blind to strangers, and independent of order."""

from dataclasses import replace

import numpy as np
import pytest
import tiny_models
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from jdcv_core.encoding.loaders import causal_lm
from jdcv_core.encoding.whitening import Whitening
from jdcv_core.errors import InputError
from jdcv_core.scoring import MeanPairs
from jdcv_core.training.pairs import PairTokens
from jdcv_core.types import Chunk, Pair
from research.context import positions
from research.context.on_rows import OnRows
from research.context.pair_rows import LongRow, SharedPrefix, cut

SIZE = st.integers(1, 8)
DOCUMENT = st.lists(SIZE, min_size=1, max_size=4)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    folder = tiny_models.save_gpt2(tmp_path_factory.mktemp("model"))
    return causal_lm(str(folder), pooling="last", precision="fp32", device="cpu")


def tokens(sizes, seed=0):
    rng = np.random.default_rng([seed, *sizes])
    return [tuple(rng.integers(1, 300, size=n).tolist()) for n in sizes]


def model(encoder, reading, pairs, module=None):
    """A trainable on (JD, CV) pairs of chunks, with vectors that are not whitened."""
    chunks = {}
    for number, both in enumerate(pairs):
        for side, own in zip(("jd", "cv"), both, strict=True):
            name = f"{side}:{number}"
            chunks[name] = [Chunk(name, i, 0, 1, ids) for i, ids in enumerate(own)]
    data = PairTokens.of([Pair(f"cv:{n}", f"jd:{n}", n % 3) for n in range(len(pairs))], chunks)
    module = encoder.network.load() if module is None else module
    plain = Whitening(np.zeros(encoder.dim), np.eye(encoder.dim))
    return OnRows(MeanPairs(encoder.dim), data, module, encoder, plain, "fp32", reading=reading)


def vectors(encoder, reading, *pairs, module=None):
    """The vectors of the JD chunks and of the CV chunks of each pair, without padding."""
    found = model(encoder, reading, pairs, module).eval()
    jd, cv = found.sides(torch.arange(len(pairs)))(torch.arange(len(pairs)))
    return [[v[m] for v, m in zip(s.vectors, s.mask, strict=True)] for s in (jd, cv)]


def last_state(encoder, *parts):
    ids = torch.tensor([i for part in parts for i in part])[None]
    return encoder.module(input_ids=ids, use_cache=False).last_hidden_state[0, -1]


@settings(max_examples=15)
@given(DOCUMENT, DOCUMENT, DOCUMENT)
def test_a_shared_prefix_equals_separate_passes(encoder, jd, cv, other):
    """Two pairs of one call, so that rows that share a call do not see each other."""
    pairs = [(tokens(jd), tokens(cv, 1)), (tokens(jd, 2), tokens(other, 3))]
    asked, found = vectors(encoder, SharedPrefix(), *pairs)
    for (j, c), u, v in zip(pairs, asked, found, strict=True):
        whole = sum(j, ())
        alone = torch.stack([last_state(encoder, whole, chunk) for chunk in c])
        torch.testing.assert_close(v, alone, atol=1e-5, rtol=1e-5)
        prefixes = torch.stack([last_state(encoder, *j[: i + 1]) for i in range(len(j))])
        torch.testing.assert_close(u, prefixes, atol=1e-5, rtol=1e-5)


def test_gradients_equal_those_of_separate_passes(encoder):
    jd, cv = tokens([5, 3]), tokens([6, 2, 4], 1)
    module = encoder.network.load()
    weight = module.h[0].attn.c_attn.weight
    given = torch.randn(3, encoder.dim, generator=torch.manual_seed(0))
    own = model(encoder, SharedPrefix(), [(jd, cv)], module).eval()
    found = own.sides(torch.tensor([0]))(torch.tensor([0]))[1].vectors[0]
    (shared,) = torch.autograd.grad((found * given).sum(), weight)
    rows = [torch.tensor([[*sum(jd, ()), *chunk]]) for chunk in cv]
    states = [module(input_ids=row, use_cache=False).last_hidden_state[0, -1] for row in rows]
    (alone,) = torch.autograd.grad((torch.stack(states) * given).sum(), weight)
    torch.testing.assert_close(shared, alone, atol=1e-5 * alone.abs().max().item(), rtol=0)


@pytest.mark.parametrize("reader", [False, True])
def test_chunks_of_a_stranger_have_no_influence_at_all(encoder, reader):
    """Other tokens in the same places, so that every product has the same shape."""
    jd, cv = tokens([5]), tokens([6, 4], 1)
    reading = SharedPrefix(reader=reader)
    (one,), (first,) = vectors(encoder, reading, (jd, [*cv, *tokens([7], 2)]))
    (two,), (second,) = vectors(encoder, reading, (jd, [*cv, *tokens([7], 3)]))
    assert torch.equal(first[:2], second[:2])
    assert not torch.equal(first[2], second[2])
    assert torch.equal(one, two) != reader  # the reader sees the stranger


@pytest.mark.parametrize("reader", [False, True])
def test_the_order_of_chunks_changes_nothing(encoder, reader):
    jd, cv = tokens([5, 2]), tokens([6, 4, 3, 1], 1)
    order = [2, 0, 3, 1]
    (one,), (first,) = vectors(encoder, SharedPrefix(reader=reader), (jd, cv))
    (two,), (second,) = vectors(encoder, SharedPrefix(reader=reader), (jd, [cv[i] for i in order]))
    torch.testing.assert_close(first[order], second, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(one, two, atol=1e-5, rtol=1e-5)


def test_the_jd_changes_the_chunks_unless_it_is_blocked(encoder):
    cv = tokens([6, 4], 1)
    for blind in (False, True):
        each = [
            vectors(encoder, SharedPrefix(blind=blind), (tokens([5], s), cv))[1][0] for s in (2, 3)
        ]
        assert torch.equal(*each) == blind


def test_a_reader_sees_the_jd_and_every_chunk_and_is_no_last_chunk(encoder):
    jd, cv = tokens([5]), tokens([6, 4], 1)
    (with_reader,), (found,) = vectors(encoder, SharedPrefix(reader=True), (jd, cv))
    (plain,), (same,) = vectors(encoder, SharedPrefix(), (jd, cv))
    torch.testing.assert_close(found, same, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(with_reader, plain, atol=1e-2)
    row = SharedPrefix(reader=True).row(jd, cv, 64)
    assert row.ids[row.jd[0][0] :] == jd[0]
    assert row.layout.positions[-5:].tolist() == [11, 12, 13, 14, 15]


def test_documents_that_do_not_fit_are_cut():
    jd, cv = tokens([9, 9]), tokens([8, 8], 1)
    row = SharedPrefix(reader=True).row(jd, cv, 20)
    assert [end - first for first, end in row.jd] == [9, 3]
    assert row.layout.window <= 20
    assert SharedPrefix(most=10).row(jd, cv, 64).cv == ((18, 26), (26, 28))
    assert cut(cv, 8) == cv[:1]
    with pytest.raises(ValueError, match="no room"):
        SharedPrefix().row(jd, cv, 8)


@pytest.mark.parametrize("treatment", ["restart", "interpolated", "dropped"])
def test_a_long_row_reads_a_cv_that_is_longer_than_the_window(encoder, treatment):
    jd, cv = tokens([5]), tokens([30, 30, 30], 1)
    (asked,), (found,) = vectors(encoder, LongRow(attend=16, positions=treatment), (jd, cv))
    assert len(asked) == 1
    assert len(found) == 3
    assert found.isfinite().all()
    # The state of the last token depends on 2 layers * 16 tokens, not on the first chunk.
    (_,), (other,) = vectors(
        encoder, LongRow(attend=16, positions=treatment), (jd, [tokens([30], 9)[0], *cv[1:]])
    )
    assert torch.equal(found[2], other[2])
    assert not torch.equal(found[0], other[0])
    (_,), (asking,) = vectors(
        encoder, LongRow(attend=16, positions=treatment), (tokens([5], 7), cv)
    )
    assert not torch.allclose(found[2], asking[2], atol=1e-4)  # the JD is global


def test_a_long_row_that_fits_equals_one_causal_pass(encoder):
    jd, cv = tokens([5]), tokens([8, 8], 1)
    for treatment in ("restart", "interpolated"):
        (_,), (found,) = vectors(encoder, LongRow(attend=99, positions=treatment), (jd, cv))
        alone = torch.stack([last_state(encoder, *jd, cv[0]), last_state(encoder, *jd, *cv)])
        torch.testing.assert_close(found, alone, atol=1e-5, rtol=1e-5)


def test_random_order_moves_the_chunks_of_a_long_row_and_keeps_them():
    jd, cv = tokens([5]), tokens([8, 7, 6, 5], 1)
    row = LongRow(shuffled=True).row(jd, cv, 64)
    again = LongRow(shuffled=True).row(jd, cv, 64)
    assert row == again
    moved = [row.ids[first:end] for first, end in row.cv]
    assert moved != cv
    assert sorted(moved) == sorted(cv)


def test_stretched_positions_keep_their_ends_and_lie_between_neighbours(encoder):
    module = encoder.network.load()
    old = module.wpe.weight.detach().clone()
    positions.stretch(module, 127)
    new = module.wpe.weight
    torch.testing.assert_close(new[::2], old)
    torch.testing.assert_close(new[1::2], (old[1:] + old[:-1]) / 2)
    positions.stretch(module, 64)
    assert len(module.wpe.weight) == 127
    with pytest.raises(InputError, match="no learned positions"):
        positions.drop(torch.nn.Linear(2, 2))


def test_the_whitening_is_that_of_the_vectors_of_training_rows(encoder):
    pairs = [(tokens([5, 4], n), tokens([6, 4, 3], n)) for n in range(12)]
    found = model(encoder, SharedPrefix(), pairs)
    found.fit_whitening(torch.arange(12))
    jd, cv = found.sides(torch.arange(12))(torch.arange(12))
    white = torch.cat([side.vectors[side.mask] for side in (jd, cv)])
    torch.testing.assert_close(white.mean(0), torch.zeros(encoder.dim), atol=1e-4, rtol=0)
    assert white.std(0).mean().item() == pytest.approx(1, abs=0.1)


def test_work_counts_the_tokens_of_every_row(encoder):
    pairs = [(tokens([5, 4], n), tokens([6, 4, 3], n)) for n in range(3)]
    assert model(encoder, SharedPrefix(), pairs).work(torch.arange(3)) == 3 * 22
    assert model(encoder, SharedPrefix(reader=True), pairs).work(torch.arange(3)) == 3 * 31


def test_an_encoder_that_cannot_read_rows_and_unknown_positions_are_refused(encoder):
    unable = replace(encoder, network=replace(encoder.network, states=None))
    with pytest.raises(InputError, match="cannot read rows"):
        model(unable, SharedPrefix(), [(tokens([5]), tokens([6]))])
    with pytest.raises(InputError, match="did you mean 'dropped'|Did you mean 'dropped'"):
        LongRow(positions="droped")
