"""A trained encoder is loaded bit for bit, by this toolkit and by the libraries without it."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_models import TEXTS, save_bert, save_gpt2, save_llama
from transformers import AutoModel, AutoTokenizer

from jdcv_core.chunking import chunk_document
from jdcv_core.encoding.loaders import causal_lm, gpt2, sentence_transformer
from jdcv_core.encoding.saved_encoder import load_encoder, save_encoder
from jdcv_core.errors import InputError
from jdcv_core.types import Document

CHUNKS = [[5, 6, 7], [8], [9, 10, 11, 12, 13, 14, 15], list(range(18, 56)), [5, 6, 7, 8]]


def save_sentences(folder):
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer

    words = Transformer(str(save_bert(folder / "bert")), max_seq_length=40)
    modules = [words, Pooling(32, pooling_mode="mean"), Normalize()]
    SentenceTransformer(modules=modules, device="cpu").save(str(folder / "whole"))
    return folder / "whole"


ENCODERS = {
    "gpt2": lambda folder: gpt2(
        path=str(save_gpt2(folder)), pooling="first_last", precision="fp32", device="cpu"
    ),
    "llama": lambda folder: causal_lm(
        str(save_llama(folder)), pooling="weighted", precision="fp32", device="cpu"
    ),
    "sentence": lambda folder: sentence_transformer(
        str(save_sentences(folder)), precision="fp32", device="cpu"
    ),
}


def train(module: torch.nn.Module) -> None:
    """Change every weight in place."""
    numbers = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in module.parameters():
            weight += 0.05 * torch.randn(weight.shape, generator=numbers, dtype=weight.dtype)


@pytest.fixture(scope="module", params=ENCODERS)
def saved(request, tmp_path_factory):
    """(encoder trained in place, its vectors before training, the folder it was saved to)."""
    folder = tmp_path_factory.mktemp(request.param)
    encoder = ENCODERS[request.param](folder)
    encoder.name = "mine"
    before = encoder.encode_chunks(CHUNKS)
    train(encoder.module)
    files = save_encoder(encoder, folder / "saved")
    assert {folder / "saved" / name for name in files} == set(files.values())
    return encoder, before, folder / "saved"


def test_the_loaded_encoder_gives_the_trained_vectors_bit_for_bit(saved):
    encoder, before, folder = saved
    again = load_encoder(folder, "fp32", "cpu")
    vectors = encoder.encode_chunks(CHUNKS)
    np.testing.assert_array_equal(again.encode_chunks(CHUNKS), vectors)
    assert np.abs(vectors - before).max() > 0.01  # training changed the vectors


def test_the_loaded_encoder_cuts_texts_as_before(saved):
    encoder, _, folder = saved
    again = load_encoder(folder)
    same = ("name", "dim", "max_tokens", "parameters", "tokenizer_fingerprint")
    assert {a: getattr(again, a) for a in same} == {a: getattr(encoder, a) for a in same}
    one, other = again.network, encoder.network
    assert (one.prefix, one.suffix, one.pad) == (other.prefix, other.suffix, other.pad)
    document = Document("cv:1", " ".join(TEXTS))
    size = encoder.max_tokens
    assert chunk_document(document, again.tokenizer, size) == chunk_document(
        document, encoder.tokenizer, size
    )


def test_saving_twice_gives_the_same_bytes_and_leaves_the_module_alone(saved, tmp_path):
    encoder, _, folder = saved
    vectors = encoder.encode_chunks(CHUNKS)
    for name, path in save_encoder(encoder, tmp_path).items():
        assert path.read_bytes() == (folder / name).read_bytes()
    np.testing.assert_array_equal(encoder.encode_chunks(CHUNKS), vectors)


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_transformers_alone_reads_weights_and_tokenizer(kind, tmp_path):
    """It works without our activation and attention: config.json names those of transformers."""
    encoder = ENCODERS[kind](tmp_path)
    save_encoder(encoder, tmp_path / "saved")
    model = AutoModel.from_pretrained(tmp_path / "saved").eval()
    assert model.dtype == torch.float32
    ids = torch.tensor([[5, 6, 7, 8]])
    with torch.inference_mode():
        ours = encoder.module(input_ids=ids, use_cache=False).last_hidden_state
        theirs = model(input_ids=ids).last_hidden_state
    torch.testing.assert_close(theirs, ours, atol=1e-5, rtol=0)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "saved")
    source = AutoTokenizer.from_pretrained(tmp_path)
    assert tokenizer(TEXTS)["input_ids"] == source(TEXTS)["input_ids"]
    assert tokenizer(TEXTS)["input_ids"][0][:1] == [0] or kind == "gpt2"


@pytest.mark.parametrize(("kind", "target"), [("gpt2", "c_attn"), ("sentence", "query")])
def test_an_adapter_that_is_not_merged_is_refused(kind, target, tmp_path):
    from peft import LoraConfig, inject_adapter_in_model

    encoder = ENCODERS[kind](tmp_path)
    settings = LoraConfig(target_modules=[target], fan_in_fan_out=kind == "gpt2")
    inject_adapter_in_model(settings, encoder.module)
    with pytest.raises(ValueError, match="merge the adapter"):
        save_encoder(encoder, tmp_path / "saved")


@pytest.mark.parametrize("kind", ["gpt2", "sentence"])
def test_weights_in_bf16_are_saved_in_fp32_as_they_are(kind, tmp_path):
    encoder = ENCODERS[kind](tmp_path)
    encoder.set_precision("bf16")
    wanted = {k: v.float() for k, v in encoder.module.state_dict().items()}
    save_encoder(encoder, tmp_path / "saved")
    assert all(p.dtype == torch.bfloat16 for p in encoder.module.parameters())
    saved = load_file(tmp_path / "saved" / "model.safetensors")
    assert all(weight.dtype == torch.float32 for weight in saved.values())
    again = load_encoder(tmp_path / "saved", "fp32", "cpu").module.state_dict()
    assert all(torch.equal(again[name], wanted[name]) for name in wanted)


def test_a_module_that_is_not_an_encoder_is_not_saved(tmp_path):
    encoder = ENCODERS["gpt2"](tmp_path)
    encoder._module = torch.nn.Linear(2, 2)
    with pytest.raises(ValueError, match="a Linear is neither a decoder"):
        save_encoder(encoder, tmp_path / "saved")


def test_a_changed_folder_is_reported_in_one_line(tmp_path):
    def refused(content=None) -> str:
        if content is not None:
            (tmp_path / "encoder.json").write_text(content)
        with pytest.raises(InputError, match=r"encoder\.json|its vectors have") as caught:
            load_encoder(tmp_path)
        return str(caught.value)

    assert "it is missing" in refused()
    save_encoder(ENCODERS["gpt2"](tmp_path / "source"), tmp_path)
    note = json.loads((tmp_path / "encoder.json").read_text())
    assert "is not JSON" in refused("{")
    for wrong in ({"kind": "os.system"}, {"pooling": "all"}, {"name": 3}, {"dim": None}):
        assert "does not describe an encoder" in refused(json.dumps({**note, **wrong}))
    assert "its vectors have 32 dimensions" in refused(json.dumps({**note, "dim": 33}))


def test_a_sentence_transformer_folder_cannot_name_other_code(tmp_path):
    save_encoder(ENCODERS["sentence"](tmp_path), tmp_path / "saved")
    modules = tmp_path / "saved" / "modules.json"
    listed = json.loads(modules.read_text())
    listed[1]["type"] = "subprocess.Popen"
    modules.write_text(json.dumps(listed))
    with pytest.raises(
        InputError, match=r"cannot read it \(ValueError: .*subprocess\.Popen"
    ) as caught:
        load_encoder(tmp_path / "saved")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ENCODERS)
def test_weights_that_the_class_does_not_have_are_refused(kind, tmp_path):
    encoder = ENCODERS[kind](tmp_path / "from")
    save_encoder(encoder, tmp_path / "saved")
    assert load_encoder(tmp_path / "saved").dim == encoder.dim
    path = tmp_path / "saved" / "model.safetensors"
    weights = load_file(path)
    save_file({**weights, "extra.weight": torch.zeros(3)}, path, {"format": "pt"})
    with pytest.raises(
        InputError, match=r"1 weights that its class does not have, such as extra.weight"
    ):
        load_encoder(tmp_path / "saved")
