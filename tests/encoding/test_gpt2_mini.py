"""gpt2-mini learns, is the same for the same seed, and is trained once."""

import json
import math

import pytest
import torch
from safetensors.torch import load_file
from tiny_models import TEXTS
from transformers import GPT2Model

from jdcv_core.encoding import gpt2_mini as module
from jdcv_core.encoding.gpt2_mini import (
    MiniSettings,
    batches,
    gpt2_mini,
    pack,
    schedule,
    train_tokenizer,
)
from jdcv_core.errors import InputError
from jdcv_core.types import Document

TINY = {"layers": 1, "width": 16, "heads": 2, "context": 16, "vocabulary": 300, "rows": 4}
DOCUMENTS = [Document(f"cv:{n}", text) for n, text in enumerate(TEXTS)]


def train(folder, documents=DOCUMENTS, **settings):
    return gpt2_mini(documents, folder, **{**TINY, "train_tokens": 640, **settings})


def only_folder(cache):
    (folder,) = cache.iterdir()
    return folder


def test_it_is_a_gpt2_of_its_settings(tmp_path):
    encoder = train(tmp_path, layers=2)
    assert type(encoder.module) is GPT2Model
    assert (encoder.name, encoder.dim, encoder.max_tokens) == ("gpt2-mini", 16, 16)
    assert (len(encoder.module.h), encoder.precision) == (2, "fp32")
    ids = encoder.tokenizer.encode(DOCUMENTS[1].text).ids
    assert encoder.tokenizer.decode(ids) == DOCUMENTS[1].text
    assert encoder.encode_chunks([ids[:16]]).shape == (1, 16)


def test_it_learns_a_text_that_repeats(tmp_path):
    letters = "abcdefghijklmnopqrstuvwxyz"
    train(tmp_path, [Document("cv:1", letters * 20)], train_tokens=16_000)
    facts = json.loads((only_folder(tmp_path) / "mini.json").read_text())
    assert facts["loss_first"] > 5  # near log(300), the loss of a uniform guess
    assert facts["loss_last"] < 1
    assert facts["settings"]["seed"] == 0
    assert facts["documents"] == 1


def test_the_same_seed_gives_the_same_weights_in_any_order_of_documents(tmp_path):
    first, again, other = (
        train(tmp_path / "first"),
        train(tmp_path / "again", DOCUMENTS[::-1]),
        train(tmp_path / "other", seed=1),
    )
    assert first.fingerprint == again.fingerprint != other.fingerprint
    assert first.tokenizer_fingerprint == again.tokenizer_fingerprint
    a, b = (
        load_file(only_folder(tmp_path / name) / "model.safetensors") for name in ("first", "again")
    )
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_it_is_trained_once(tmp_path, monkeypatch):
    first = train(tmp_path)
    monkeypatch.setattr(module, "train_model", lambda *_: pytest.fail("trained a second time"))
    assert train(tmp_path).fingerprint == first.fingerprint


def test_other_texts_and_settings_are_other_models(tmp_path):
    train(tmp_path)
    train(tmp_path, DOCUMENTS[:2])
    train(tmp_path, learning_rate=1e-3)
    assert len(list(tmp_path.iterdir())) == 3


def test_an_interrupted_training_leaves_no_folder(tmp_path, monkeypatch):
    def break_off(*arguments, **named):
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "save", break_off)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_torchs_generator_and_number_of_threads_are_unchanged(tmp_path):
    before, threads = torch.random.get_rng_state(), torch.get_num_threads()
    train(tmp_path)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.get_num_threads() == threads


def test_a_pass_reads_every_row_of_the_stream_once():
    stream = torch.arange(1000)
    settings = MiniSettings(context=9, rows=5, seed=3)
    source = batches(stream, settings)
    rows = torch.cat([next(source) for _ in range(19)])  # 95 of the 99 or 100 rows of a pass
    assert rows.shape == (95, 10)
    assert torch.equal(rows - rows[:, :1], torch.arange(10).expand(95, 10))
    assert len(rows[:, 0].unique()) == 95
    assert not torch.equal(rows[:, 0], rows[:, 0].sort().values)


def test_a_stream_shorter_than_a_row_is_repeated():
    batch = next(batches(torch.arange(7), MiniSettings(context=16, rows=2)))
    assert batch.shape == (2, 17)
    assert torch.equal(batch.diff(dim=1) % 7, torch.ones(2, 16, dtype=torch.long))


def test_texts_are_packed_with_an_end_token_after_each():
    tokenizer = train_tokenizer(TEXTS, 300)
    end = tokenizer.token_to_id("<|endoftext|>")
    stream = pack(TEXTS, tokenizer)
    assert (stream == end).sum() == len(TEXTS)
    pieces = "".join(tokenizer.decode(stream.tolist(), skip_special_tokens=False))
    assert pieces == "".join(text + "<|endoftext|>" for text in TEXTS)


def test_the_rate_rises_over_a_twentieth_and_falls_by_a_cosine():
    rates = [schedule(step, 100) for step in range(100)]
    assert rates[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert rates[52] == pytest.approx(0.5 * (1 + math.cos(math.pi * 47 / 95)))
    assert all(a >= b for a, b in zip(rates[5:], rates[6:], strict=False))
    assert 0 < rates[-1] < 0.001


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"layer": 2}, "encoder.layer: there is no such setting. Did you mean 'layers'"),
        ({"layers": 0}, "encoder.layers=0: it is too small"),
        ({"heads": 3}, "encoder.width=16: it cannot be divided evenly among 3 heads"),
        ({"vocabulary": 256}, "give 257 or more"),
    ],
)
def test_settings_that_make_no_model_are_named(tmp_path, settings, message):
    with pytest.raises(InputError, match=f"(?i){message}"):
        train(tmp_path, **settings)
    assert list(tmp_path.iterdir()) == []


def test_a_cache_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="file: .* encoder.cache_dir"):
        train(tmp_path / "file")


def test_a_corpus_without_documents_is_refused(tmp_path):
    with pytest.raises(InputError, match="no documents"):
        train(tmp_path, [])


def test_a_device_that_torch_does_not_know_is_refused_before_training(tmp_path):
    with pytest.raises(InputError, match="encoder device gpu"):
        gpt2_mini([Document("cv:1", "cook")], tmp_path, device="gpu")
    assert not list(tmp_path.iterdir())
