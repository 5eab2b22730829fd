"""An encoder that does not know a script is named; one that does is not."""

from functools import lru_cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from languages import CVS
from test_chunking import gpt2_tokenizer, unigram, word_piece
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers
from tokenizers.trainers import BpeTrainer

from jdcv_core.chunking import TokenChunker, plain_tokenizer
from jdcv_core.encoding.loaders import OFFLINE, package_folder
from jdcv_core.errors import InputError
from jdcv_core.scripts import MOST_UNFIT, NAMES, ScriptCounts, scripts_of, unfit_scripts
from jdcv_core.types import Document

KNOWN = ["English", "French", "German", "Spanish", "Romanian", "Italian", "Polish", "Turkish"]
SCRIPT = {
    "Russian": "Cyrillic", "Greek": "Greek", "Arabic": "Arabic", "Hebrew": "Hebrew",
    "Hindi": "Devanagari", "Chinese": "Han", "Japanese": "Han", "Korean": "Hangul", "Thai": "Thai",
}  # fmt: skip


def mini_lm():
    try:
        folder = package_folder(OFFLINE, "")
    except InputError:
        pytest.skip("needs the package of the extra offline")
    return Tokenizer.from_file(str(folder / "tokenizer.json"))


TOKENIZERS = {"gpt2": gpt2_tokenizer, "mini lm": mini_lm}


def report(texts, tokenizer):
    documents = [Document(f"cv:{i}", text) for i, text in enumerate(texts)]
    return TokenChunker(64).cut(documents, tokenizer, 1024).report


@pytest.mark.parametrize("kind", TOKENIZERS)
@pytest.mark.parametrize("language", KNOWN)
def test_languages_in_latin_script_raise_no_warning(kind, language):
    found = report([CVS[language]], TOKENIZERS[kind]())
    assert list(found["scripts"]) == ["Latin"]
    assert found["scripts"]["Latin"]["unfit"] < 0.9 * MOST_UNFIT
    assert found["unfit_share"] == 0
    assert unfit_scripts(found, "x", 1) == []


@pytest.mark.parametrize("kind", TOKENIZERS)
@pytest.mark.parametrize("language", SCRIPT)
def test_an_english_encoder_is_named_for_every_other_script(kind, language):
    texts = [CVS["English"], CVS[language], CVS["French"]]
    found = report(texts, TOKENIZERS[kind]())
    own = found["scripts"][SCRIPT[language]]
    assert own["unfit"] > MOST_UNFIT
    assert own["documents"] == 1
    assert own["unfit"] == pytest.approx(own["unknown"] + own["single"], abs=2e-4)
    assert 0.02 < found["unfit_share"] < 0.5
    line = unfit_scripts(found, "small", 3)[0]
    start = f"encoder small does not know {own['unfit']:.0%} of the tokens in {SCRIPT[language]}"
    assert line.startswith(start + " script (1 of 3 documents)")
    assert "multilingual encoder" in line
    assert "\n" not in line


@pytest.mark.parametrize("language", ["Russian", "Greek", "Hindi", "Chinese", "Korean"])
@pytest.mark.parametrize("fallback", [False, True])
def test_a_tokenizer_that_learned_a_script_is_not_named(language, fallback):
    """SentencePiece's way with spaces, with and without its bytes for what is not known."""
    bytes_ = [f"<0x{i:02X}>" for i in range(256)]
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=fallback))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    special = ["<unk>", *bytes_] if fallback else ["<unk>"]
    trainer = BpeTrainer(vocab_size=900, special_tokens=special, show_progress=False)
    tokenizer.train_from_iterator([CVS[language]] * 3, trainer)
    own = report([CVS[language]], tokenizer)["scripts"][SCRIPT[language]]
    assert own["unfit"] < MOST_UNFIT
    for other in set(SCRIPT) - {language, "Japanese"}:
        found = report([CVS[other]], tokenizer)
        assert found["scripts"][SCRIPT[other]]["unfit"] > MOST_UNFIT, other
        assert found["unfit_share"] > 0.5


def test_a_few_foreign_words_are_no_foreign_document():
    text = CVS["English"] + " Works with 北京 and Москва."
    found = report([text], mini_lm())
    assert found["scripts"]["Han"]["documents"] == 0
    assert unfit_scripts(found, "x", 1) == []


def test_tokens_by_hand():
    vocabulary = {"[UNK]": 0, "we": 1, "##l": 2, "##d": 3, "a": 4, "ж": 5, "##у": 6, "##к": 7}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    found = report(["weld a wel, жук 語 語"], tokenizer)["scripts"]
    # we ##l ##d | a | we ##l | [UNK] for the comma | ж ##у ##к | [UNK] [UNK]
    assert found["Latin"] == {
        "documents": 1, "tokens": 6, "unknown": 0, "single": 0.3333, "unfit": 0.3333
    }  # fmt: skip
    assert found["Cyrillic"]["unfit"] == found["Cyrillic"]["single"] == 1
    assert found["Han"]["unfit"] == found["Han"]["unknown"] == 1


@lru_cache
def plain(make):
    return plain_tokenizer(make())


@given(st.text(), st.sampled_from([gpt2_tokenizer, word_piece, unigram]))
def test_any_text_is_counted(text, make):
    tokenizer = plain(make)
    counts = ScriptCounts(tokenizer)
    encoding = tokenizer.encode(text, add_special_tokens=False)
    counts.add("cv:1#2", text, encoding.ids, encoding.offsets)
    found = counts.report({"cv:1"})
    assert set(found["scripts"]) <= set(NAMES)
    assert 0 <= found["unfit_share"] <= 1
    for own in found["scripts"].values():
        assert 0 <= own["unfit"] <= 1
        assert own["documents"] <= 1
    assert sum(own["tokens"] for own in found["scripts"].values()) <= len(encoding.ids)


@given(st.text())
def test_letters_are_those_of_unicode(text):
    found = scripts_of(text)
    assert len(found) == len(text)
    for character, script in zip(text, found, strict=True):
        if character.isalpha():
            assert script >= 0


def test_the_decoder_of_a_tokenizer_does_not_matter():
    tokenizer = mini_lm()
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.normalizer = normalizers.Sequence([tokenizer.normalizer])
    assert report([CVS["Russian"]], tokenizer) == report([CVS["Russian"]], mini_lm())
    assert np.isclose(report([CVS["Russian"]], tokenizer)["unfit_share"], 1)
