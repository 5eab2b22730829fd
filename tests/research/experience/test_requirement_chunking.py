"""Chunks by line: what they cover, where they are cut, and the months that they know."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from thorough import examples

from jdcv_core.chunking import chunk_documents
from jdcv_core.data.demo.generate import demo_corpus
from jdcv_core.encoding.gpt2_mini import train_tokenizer
from jdcv_core.errors import InputError
from jdcv_core.types import Document
from research.experience.experience_chunking import ExperienceChunker
from research.experience.requirement_chunking import RequirementChunker


@pytest.fixture(scope="module")
def corpus():
    data = demo_corpus(cvs=32, jds=32, pairs_per_cv=8)
    return [*data.side("cv")[:8], *data.side("jd")[:4]]


@pytest.fixture(scope="module")
def tokenizer(corpus):
    return train_tokenizer([d.text for d in corpus], 600)


def cut(documents, tokenizer, **settings):
    return RequirementChunker(**settings).cut(documents, tokenizer, limit=1024).chunks


def check_cover(document, chunks, overlap=0):
    assert chunks[0].start == 0
    assert chunks[-1].end == len(document.text)
    assert [c.index for c in chunks] == list(range(len(chunks)))
    for one, other in zip(chunks, chunks[1:], strict=False):
        assert one.start <= other.start <= one.end <= other.end
        assert overlap or other.start == one.end


@pytest.mark.parametrize(("size", "overlap"), [(None, 0), (16, 0), (16, 4)])
def test_chunks_cover_the_text_and_keep_to_the_limit(corpus, tokenizer, size, overlap):
    for document, chunks in zip(
        corpus, cut(corpus, tokenizer, size=size, overlap=overlap), strict=True
    ):
        check_cover(document, chunks, overlap)
        assert max(len(c.tokens) for c in chunks) <= (size or 64)


TEXTS = st.text(st.sampled_from("aB7é 中。.!\n\r\u2028-•"), min_size=1, max_size=60)


@settings(max_examples=examples(60))
@given(TEXTS, st.sampled_from(["cv:1", "jd:1"]), st.integers(4, 12))
def test_any_text_is_covered(tokenizer, text, name, size):
    document = Document(name, text)
    try:
        whole = chunk_documents([document], tokenizer, 4096)
    except InputError:
        return  # a text without a token
    assert whole
    check_cover(document, cut([document], tokenizer, size=size)[0])


def test_each_line_is_a_chunk_and_a_bullet_belongs_to_the_next(tokenizer):
    jd = Document("jd:1", "Cook wanted\n\n•\n- Two years of soup\n- No fear of onions\n")
    texts = [jd.text[c.start : c.end].strip() for c in cut([jd], tokenizer)[0]]
    assert texts == ["Cook wanted", "•\n- Two years of soup", "- No fear of onions"]


def test_one_long_paragraph_is_cut_at_its_sentences(tokenizer):
    sentences = ["We bake bread. ", "You knead dough every day! ", "你会揉面团。", "Ask for more."]
    jd = Document("jd:1", "".join(sentences))
    chunks = cut([jd], tokenizer, size=24)[0]
    starts = [sum(map(len, sentences[:n])) for n in range(len(sentences))]
    assert set(starts) <= {c.start for c in chunks}
    assert all(len(c.tokens) <= 24 for c in chunks)


def test_sentences_without_a_space_and_bullets_begin_chunks_of_a_long_line(tokenizer):
    pieces = [
        "Set deadlines.",
        "Led a team (of 4).",
        "Node.js and v2.0 ",
        "• Baked bread",
        " · Sold it",
    ]
    jd = Document("jd:1", "".join(pieces))
    (chunks,) = cut([jd], tokenizer, size=16)
    assert {c.start for c in chunks} >= {0, 14, 32, 49, 63}
    assert [jd.text[c.start : c.end] for c in cut([jd], tokenizer, size=200)[0]] == [jd.text]


def test_a_row_of_spaces_in_a_long_line_is_no_chunk(tokenizer):
    jd = Document("jd:1", "Bake." + " " * 400 + "bread" + "\u00a0" * 300 + "now")
    (chunks,) = cut([jd], tokenizer, size=8)
    check_cover(jd, chunks)
    assert all(any(c.isalnum() for c in jd.text[x.start : x.end]) for x in chunks)


def test_the_lines_of_a_cv_have_the_months_of_their_experience(corpus, tokenizer):
    by_line = RequirementChunker().cut(corpus, tokenizer, limit=1024)
    by_experience = ExperienceChunker(size=1024).cut(corpus, tokenizer, limit=1024)
    read = ("reference", "cvs", "experiences", "faulty", "doubtful", "cvs_without_dates")
    assert [by_line.report[key] for key in read] == [by_experience.report[key] for key in read]
    for document, lines, jobs in zip(corpus, by_line.chunks, by_experience.chunks, strict=True):
        if document.side == "jd":
            assert all(c.months is None for c in lines)
            continue
        for line in lines:
            middle = (line.start + line.end) // 2
            (job,) = (c for c in jobs if c.start <= middle < c.end)
            own, other = line.months, job.months
            assert (own.duration, own.recency, own.experience) == pytest.approx(
                (other.duration, other.recency, other.experience), nan_ok=True
            )
        places = {c.months.experience for c in lines if not math.isnan(c.months.experience)}
        assert len(places) >= 3


def test_no_chunk_stands_in_two_experiences(tokenizer):
    line = "Cook, Soup Ltd, 01/2010 - 12/2012 Cut onions Baker, Bread Ltd, 01/2013 - 12/2015"
    glued = Document("cv:1", f"EXPERIENCE\n{line}\nKneaded dough\n")
    chunks = cut([glued], tokenizer)[0]
    check_cover(glued, chunks)
    job = ExperienceChunker(size=1024).cut([glued], tokenizer, limit=1024).chunks[0][-1]
    assert glued.text[job.start - 1] != "\n"  # it begins within the line
    assert job.start in {c.start for c in chunks}


def test_the_settled_chunker_cuts_any_document_as_it_cut_these(corpus, tokenizer):
    first = RequirementChunker().cut(corpus, tokenizer, limit=48)
    assert first.chunker.size == 48
    again = first.chunker.cut(corpus[:1], tokenizer, limit=48)
    assert again.chunks[0] == first.chunks[0]
    assert again.chunker == first.chunker


def test_a_reference_that_is_no_month_is_refused():
    with pytest.raises(InputError, match=r"chunking\.reference"):
        RequirementChunker(reference="June")
