from dataclasses import replace

import numpy as np
import pytest

from jdcv_core.chunking import chunk_documents
from jdcv_core.data.demo.generate import demo_corpus
from jdcv_core.data.demo.latent import NOW
from jdcv_core.encoding.gpt2_mini import train_tokenizer
from jdcv_core.errors import InputError
from jdcv_core.months import as_text
from jdcv_core.types import Document
from research.experience.experience_chunking import (
    DURATION,
    PLACE,
    RECENCY,
    SHARE,
    ExperienceChunker,
)
from research.experience.parsing import parse_cv


def cut(documents, tokenizer, size, overlap=0, **settings):
    chunker = ExperienceChunker(size, overlap, **settings)
    return chunker.cut(documents, tokenizer, limit=1024)


@pytest.fixture(scope="module")
def corpus():
    data = demo_corpus(cvs=32, jds=32, pairs_per_cv=8)
    return [*data.side("cv")[:12], *data.side("jd")[:3]]


@pytest.fixture(scope="module")
def tokenizer(corpus):
    return train_tokenizer([d.text for d in corpus], 600)


@pytest.mark.parametrize(("size", "overlap"), [(256, 0), (64, 0), (64, 16)])
def test_chunks_cover_the_text_and_keep_to_the_limit(corpus, tokenizer, size, overlap):
    for document, chunks in zip(corpus, cut(corpus, tokenizer, size, overlap).chunks, strict=True):
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
    for document, chunks in zip(corpus, cut(corpus, tokenizer, 160).chunks, strict=True):
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
    found = cut(plain, tokenizer, 32).chunks
    assert found[:-1] == chunk_documents(jds, tokenizer, 32)
    assert [replace(c, months=None) for c in found[-1]] == chunk_documents(plain, tokenizer, 32)[-1]
    assert {c.months.share for c in found[-1]} == {1.0}
    assert np.isnan([(c.months.duration, c.months.experience) for c in found[-1]]).all()


def test_a_row_of_bullets_is_no_chunk_of_its_own(tokenizer):
    document = Document("cv:1", "•••\n\u200b\nExperience\n•\nCook, 2010-2012, A\nSoup.")
    (chunks,) = cut([document], tokenizer, 256).chunks
    assert [(c.start, c.end) for c in chunks][0][0] == 0
    assert chunks[-1].end == len(document.text)
    assert all(any(x.isalnum() for x in document.text[c.start : c.end]) for c in chunks)


def test_the_months_of_each_chunk(tokenizer):
    text = (
        "Experience\nCook, 01/2020 - Current, A\nSoup.\nWaiter, 01/2010 - 01/2012, B\nWine.\n"
        "Chef, 05/2015 - 08/2014, C\nMeat.\nEducation\nBSc, 2005, Graz"
    )
    document = Document("cv:1", text)
    found = cut([document], tokenizer, 256, reference="2024-07")
    own = np.array([c.months for c in found.chunks[0]])
    by_place = {int(row[PLACE]): row for row in own if not np.isnan(row[PLACE])}
    assert by_place[0][[DURATION, RECENCY]].tolist() == [54, 0]
    assert by_place[1][[DURATION, RECENCY]].tolist() == [24, 150]
    assert np.isnan(by_place[2][[DURATION, RECENCY]]).all()  # reversed
    assert np.isnan(own[-1, DURATION])  # education
    assert found.report["faulty"] == 1
    assert found.report["experiences"] == 3


def test_what_was_not_read_is_a_fault_and_is_counted(tokenizer):
    head = "Experience\nCook, 01/2020 - Current, A\nSoup.\n"
    documents = [
        Document("cv:1", head + "Waiter, Lune Ltd\n2013, 2014\nWine."),
        Document("cv:2", head),
        Document("cv:3", head.replace("2020", "2025")),
        Document("cv:4", head + "Waiter\n03/20XX - 05/20XX\nWine."),
    ]
    found = cut(documents, tokenizer, 256, reference="2024-07")
    assert set(found.faults) == {"cv:1", "cv:3", "cv:4"}
    assert found.faults["cv:1"] == ('unread: "2013, 2014" (line 5)',)
    assert "newer than the reference 2024-07" in found.faults["cv:3"][0]
    assert "the year is masked" in found.faults["cv:4"][0]
    counted = {key: found.report[key] for key in ("unread", "cvs_with_unread", "newer", "faulty")}
    assert counted == {"unread": 1, "cvs_with_unread": 1, "newer": 1, "faulty": 1}


def test_a_job_of_two_summers_has_six_months(tokenizer):
    document = Document("cv:1", "Experience\nCook, A\nSummers 2015 & 2016\nSoup.")
    (chunks,) = cut([document], tokenizer, 256, reference="2017-09").chunks
    assert (chunks[-1].months.duration, chunks[-1].months.recency) == (6, 12)


def test_the_shares_of_a_segment_sum_to_one(corpus, tokenizer):
    found = cut(corpus, tokenizer, 64, reference=as_text(NOW))
    assert found.report["cvs_without_dates"] == 0
    for document, chunks in zip(corpus, found.chunks, strict=True):
        if document.side == "jd":
            assert {c.months for c in chunks} == {None}
            continue
        own = np.array([c.months for c in chunks])
        for place in np.unique(own[:, PLACE][~np.isnan(own[:, PLACE])]):
            assert own[own[:, PLACE] == place, SHARE].sum() == pytest.approx(1)


def test_a_settled_chunker_cuts_one_document_as_it_cut_all(corpus, tokenizer):
    """Without a reference the newest month of the corpus counts, and the chunker keeps it."""
    found = cut(corpus, tokenizer, None)
    assert found.chunker.size == 1024
    assert found.chunker.reference == as_text(found.report["reference"])
    for document, chunks in zip(corpus, found.chunks, strict=True):
        (alone,) = found.chunker.cut([document], tokenizer, 1024).chunks
        assert repr(alone) == repr(chunks)  # nan equals nan


def test_a_reference_that_is_no_month_is_refused():
    with pytest.raises(InputError, match="(?i)write it as 2024-06"):
        ExperienceChunker(reference="June")


def test_a_size_that_makes_no_sense_is_refused(corpus, tokenizer):
    with pytest.raises(InputError, match="chunk size"):
        cut(corpus, tokenizer, 0)
