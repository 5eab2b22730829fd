"""Chunks in one row without padding have the vectors and gradients of padded rows."""

from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from thorough import examples
from tiny_models import save_bert, save_gpt2, save_llama

from jdcv_core.encoding.batching import cheapest_batches, length_batches, packed_batches
from jdcv_core.encoding.encode import encode_documents, vectors_of
from jdcv_core.encoding.loaders import causal_lm, sentence_transformer
from jdcv_core.encoding.lora_tuning import adapt, save_memory, trainable_module
from jdcv_core.encoding.packing import packed_vectors, padded_places
from jdcv_core.encoding.pooling import POOLINGS
from jdcv_core.encoding.vector_store import VectorStore
from jdcv_core.types import Document

LENGTHS = st.lists(st.integers(1, 30), min_size=1, max_size=12)
KINDS = [*(f"gpt2 {pooling}" for pooling in POOLINGS), "llama last", "llama mean", "bert"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    makers = {"gpt2": save_gpt2, "llama": save_llama, "bert": save_bert}
    return {name: str(make(tmp_path_factory.mktemp(name))) for name, make in makers.items()}


@pytest.fixture(scope="module")
def encoders(folders):
    def make(kind):
        name, _, pooling = kind.partition(" ")
        if name == "bert":
            return sentence_transformer(folders["bert"], precision="fp32", device="cpu")
        return causal_lm(folders[name], pooling=pooling, precision="fp32", device="cpu")

    return {kind: make(kind) for kind in KINDS}


def random_chunks(lengths, least=4, most=56):
    numbers = np.random.default_rng(len(lengths))
    return [tuple(numbers.integers(least, most, n).tolist()) for n in lengths]


def padded(encoder, module, chunks):
    return encoder.vectors(module, chunks, packed=False)


@pytest.mark.parametrize("kind", KINDS)
def test_vectors_of_random_chunks_equal_those_of_padded_rows(encoders, kind):
    encoder = encoders[kind]

    @settings(max_examples=examples(8))
    @given(LENGTHS)
    def equal(lengths):
        chunks = random_chunks(lengths)
        with torch.inference_mode():
            wanted = torch.cat([padded(encoder, encoder.module, [chunk]) for chunk in chunks])
            found = encoder.vectors(encoder.module, chunks, packed=True)
        torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)

    equal()


@pytest.mark.parametrize("kind", KINDS)
def test_no_token_of_another_chunk_changes_a_bit(encoders, kind):
    encoder, chunks = encoders[kind], random_chunks([9, 4, 9, 17])
    with torch.inference_mode():
        before = encoder.vectors(encoder.module, chunks, packed=True)
        for at in range(len(chunks)):
            other = [*chunks[:at], chunks[at][::-1], *chunks[at + 1 :]]
            changed = (encoder.vectors(encoder.module, other, packed=True) != before).any(1)
            assert changed.tolist() == [i == at for i in range(len(chunks))]


def gradients(encoder, module, chunks, packed, seed=1):
    torch.manual_seed(seed)
    weights = torch.randn(len(chunks), encoder.dim, generator=torch.manual_seed(0))
    torch.manual_seed(seed)
    module.zero_grad()
    (encoder.vectors(module, chunks, packed) * weights).sum().backward()
    return torch.cat([p.grad.flatten() for p in module.parameters() if p.grad is not None])


@pytest.mark.parametrize("kind", ["gpt2 mean", "gpt2 first_last", "llama last", "bert"])
@pytest.mark.parametrize("tuning", ["full", "lora"])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_the_gradient_is_that_of_padded_rows(encoders, kind, tuning, checkpointing):
    encoder, chunks = encoders[kind], random_chunks([9, 4, 9, 17, 1])
    torch.manual_seed(0)
    whole = encoder.network.load().eval()
    encoder = replace(encoder, network=replace(encoder.network, load=lambda: deepcopy(whole)))
    module = trainable_module(encoder, "full" if tuning == "full" else "frozen")
    if tuning == "lora":
        adapt(module, rank=2, alpha=4.0, dropout=0.0)
        for name, parameter in module.named_parameters():
            if "lora_B" in name:  # B is 0 at first, and then A gets no gradient
                torch.nn.init.normal_(parameter)
    wanted = gradients(encoder, module, chunks, packed=False)
    if checkpointing:
        save_memory(module)
        module.train()
        for part in module.modules():
            if isinstance(part, torch.nn.Dropout):
                part.p = 0.0
            if hasattr(part, "attention_dropout") and isinstance(part.attention_dropout, float):
                part.attention_dropout = 0.0
    found = gradients(encoder, module, chunks, packed=True)
    assert wanted.norm() > 0
    assert ((found - wanted).norm() / wanted.norm()).item() < 1e-5


def test_gradient_checkpointing_draws_the_same_dropout_again(encoders):
    encoder, chunks = encoders["gpt2 mean"], random_chunks([9, 4, 9])
    found = []
    for checkpointing in (False, True):
        module = trainable_module(encoder, "full").train()
        if checkpointing:
            save_memory(module)
        found.append(gradients(encoder, module, chunks, packed=True))
    torch.testing.assert_close(found[1], found[0])
    other = gradients(encoder, module, chunks, packed=True, seed=2)
    assert not torch.allclose(other, found[0], atol=1e-3)


@given(LENGTHS, st.integers(0, 2), st.integers(0, 2))
def test_padded_places_point_to_each_chunks_tokens(lengths, prefix, suffix):
    lengths = [n + prefix + suffix for n in lengths]
    place, mask, own = padded_places(lengths, prefix, suffix)
    assert place[mask].tolist() == list(range(sum(lengths)))
    assert mask.sum(1).tolist() == lengths
    for row, n in enumerate(lengths):
        assert place[row, n:].unique().tolist() in ([], [sum(lengths[: row + 1]) - 1])
        wanted = [prefix <= t < n - suffix for t in range(max(lengths))]
        assert own[row].tolist() == wanted


@given(LENGTHS, st.integers(1, 60))
def test_packed_batches_hold_each_chunk_once_within_the_budget(lengths, budget):
    batches = packed_batches(lengths, budget)
    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    assert all(len(b) == 1 or sum(lengths[i] for i in b) <= budget for b in batches)
    assert [lengths[i] for b in batches for i in b] == sorted(lengths, reverse=True)
    heads = [lengths[b[0]] for b in batches[1:]]
    for batch, head in zip(batches, heads, strict=False):
        assert sum(lengths[i] for i in batch) + head > budget  # as full as the order allows


@given(LENGTHS, st.integers(1, 90), st.integers(0, 20), st.integers(0, 9))
def test_the_cheaper_way_is_chosen(lengths, budget, call, chunk):
    padded, packed = length_batches(lengths, budget, call), packed_batches(lengths, budget)
    costs = (
        sum(call + len(b) * max(lengths[i] for i in b) for b in padded),
        sum(call + sum(lengths[i] + chunk for i in b) for b in packed),
    )
    found = cheapest_batches(lengths, budget, call, chunk)
    assert found.packed == (costs[1] < costs[0])
    assert found.indices == (packed if found.packed else padded)
    assert cheapest_batches(lengths, budget, call, None).indices == padded


def test_an_encoder_packs_few_chunks_of_different_lengths_and_pads_many_equal_ones(encoders):
    encoder = encoders["gpt2 mean"]
    mixed, equal = random_chunks([60, 31, 12, 3]), random_chunks([40] * 12)
    assert encoder.plan(mixed).packed
    assert not encoder.plan(equal).packed
    unable = replace(encoder, network=replace(encoder.network, states=None))
    assert not unable.plan(mixed).packed
    alone = np.concatenate([unable.encode_chunks([chunk]) for chunk in mixed])
    np.testing.assert_allclose(encoder.encode_chunks(mixed), alone, atol=1e-5)


def test_on_cuda_only_flash_attention_packs(encoders):
    chunks = random_chunks([60, 31, 12, 3])
    encoder = replace(encoders["gpt2 mean"])
    encoder.device = "cuda"
    assert not encoder.plan(chunks).packed  # fp32
    assert encoder.plan(chunks, flash=True).packed
    encoder.precision = "bf16"
    assert encoder.plan(chunks).packed
    assert encoder.plan(random_chunks([40] * 12)).packed is False  # nothing to save
    assert not encoder.plan(chunks, flash=False).packed


def test_the_store_does_not_distinguish_the_two(encoders, tmp_path):
    encoder = encoders["gpt2 mean"]
    documents = [Document("cv:1", "ab " * 30), Document("jd:1", "ledger"), Document("cv:2", "x y")]
    unable = replace(encoder, network=replace(encoder.network, states=None))
    with VectorStore(tmp_path / "vectors.db") as store:
        packed, report = encode_documents(documents, encoder, store)
        assert report.encoder_calls == 1
        again, report = encode_documents(documents, unable, store)
        assert report.found_in_store == 3
    with VectorStore(tmp_path / "other.db") as store:
        plain, report = encode_documents(documents, unable, store)
        assert report.found_in_store == 0
    for i, vectors in vectors_of(packed).items():
        np.testing.assert_array_equal(vectors, again[i].vectors)
        np.testing.assert_allclose(vectors, plain[i].vectors, atol=1e-5)


def test_a_network_without_states_is_refused(encoders):
    encoder = encoders["gpt2 mean"]
    unable = replace(encoder.network, states=None)
    with pytest.raises(ValueError, match="cannot read rows of several chunks"):
        packed_vectors(unable, encoder.module, [(5, 6)], "cpu")
