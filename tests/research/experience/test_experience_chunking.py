import numpy as np
import pytest

from jdcv_core.chunking import chunk_documents
from jdcv_core.data.demo.generate import demo_corpus
from jdcv_core.data.demo.latent import NOW
from jdcv_core.encoding.gpt2_mini import train_tokenizer
from jdcv_core.errors import InputError
from jdcv_core.types import Document
from research.experience.experience_chunking import (
    DURATION,
    PLACE,
    RECENCY,
    SHARE,
    chunk_by_experience,
    chunk_facts,
)
from research.experience.parsing import parse_cv


@pytest.fixture(scope="module")
def corpus():
    data = demo_corpus(cvs=32, jds=32, pairs_per_cv=8)
    return [*data.side("cv")[:12], *data.side("jd")[:3]]


@pytest.fixture(scope="module")
def tokenizer(corpus):
    return train_tokenizer([d.text for d in corpus], 600)


@pytest.mark.parametrize(("size", "overlap"), [(256, 0), (64, 0), (64, 16)])
def test_chunks_cover_the_text_and_keep_to_the_limit(corpus, tokenizer, size, overlap):
    for document, chunks in zip(
        corpus, chunk_by_experience(corpus, tokenizer, size, overlap), strict=True
    ):
        assert [c.index for c in chunks] == list(range(len(chunks)))
        assert {c.document for c in chunks} == {document.id}
        assert max(len(c.tokens) for c in chunks) <= size
        assert chunks[0].start == 0
        assert chunks[-1].end == len(document.text)
        for one, two in zip(chunks, chunks[1:], strict=False):
            assert two.start <= one.end < two.end
            assert overlap or two.start == one.end


def test_no_chunk_holds_two_experiences_and_the_header_goes_along(corpus, tokenizer):
    repeated = 0
    for document, chunks in zip(corpus, chunk_by_experience(corpus, tokenizer, 160), strict=True):
        if document.side == "jd":
            continue
        parsed = parse_cv(document.text)
        for e in parsed.experiences:
            inside = [c for c in chunks if c.start < e.end and e.start < c.end]
            assert all(e.start <= c.start or c.end - e.start <= 1 for c in inside)
            assert all(c.end <= e.end for c in inside if c.start >= e.start)
            header = document.text[e.start : e.header_end].strip()
            if len(tokenizer.encode(header).ids) * 4 > 150:
                continue
            for chunk in inside[1:]:
                assert tokenizer.decode(list(chunk.tokens)).startswith(header)
                repeated += 1
    assert repeated > 20


def test_a_jd_and_a_cv_without_dates_are_cut_as_ever(corpus, tokenizer):
    jds = [d for d in corpus if d.side == "jd"]
    plain = [*jds, Document("cv:1", "Cook with a passion for soup. " * 30)]
    assert chunk_by_experience(plain, tokenizer, 32) == chunk_documents(plain, tokenizer, 32)


def test_a_row_of_bullets_is_no_chunk_of_its_own(tokenizer):
    document = Document("cv:1", "•••\n\u200b\nExperience\n•\nCook, 2010-2012, A\nSoup.")
    (chunks,) = chunk_by_experience([document], tokenizer, 256)
    assert [(c.start, c.end) for c in chunks][0][0] == 0
    assert chunks[-1].end == len(document.text)
    assert all(any(x.isalnum() for x in document.text[c.start : c.end]) for c in chunks)


def test_the_months_of_each_chunk(tokenizer):
    text = (
        "Experience\nCook, 01/2020 - Current, A\nSoup.\nWaiter, 01/2010 - 01/2012, B\nWine.\n"
        "Chef, 05/2015 - 08/2014, C\nMeat.\nEducation\nBSc, 2005, Graz"
    )
    document = Document("cv:1", text)
    chunks = {"cv:1": chunk_by_experience([document], tokenizer, 256)[0]}
    facts, report = chunk_facts([document], chunks, 24240 + 54)  # July 2024
    own = facts["cv:1"]
    assert own.shape == (len(chunks["cv:1"]), 4)
    by_place = {int(row[PLACE]): row for row in own if not np.isnan(row[PLACE])}
    assert by_place[0][[DURATION, RECENCY]].tolist() == [54, 0]
    assert by_place[1][[DURATION, RECENCY]].tolist() == [24, 150]
    assert np.isnan(by_place[2][[DURATION, RECENCY]]).all()  # reversed
    assert np.isnan(own[-1, DURATION])  # education
    assert report["faulty"] == 1
    assert report["experiences"] == 3


def test_the_shares_of_a_segment_sum_to_one(corpus, tokenizer):
    chunks = dict(
        zip([d.id for d in corpus], chunk_by_experience(corpus, tokenizer, 64), strict=True)
    )
    facts, report = chunk_facts(corpus, chunks, NOW)
    assert report["cvs_without_dates"] == 0
    for document in corpus:
        own = facts[document.id]
        for place in np.unique(own[:, PLACE][~np.isnan(own[:, PLACE])]):
            assert own[own[:, PLACE] == place, SHARE].sum() == pytest.approx(1)
        if document.side == "jd":
            assert (own[:, SHARE] == 1).all()


def test_a_size_that_makes_no_sense_is_refused(corpus, tokenizer):
    with pytest.raises(InputError, match="chunk size"):
        chunk_by_experience(corpus, tokenizer, 0)
