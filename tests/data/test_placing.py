"""Where the evidence of a demo CV stands: it is planted there, and nothing else changes."""

from collections import Counter
from functools import cache

import numpy as np
import pytest

from jdcv_core.data.demo import placing
from jdcv_core.data.demo.generate import DemoSettings, demo_corpus, draw_world, write_documents
from jdcv_core.data.demo.text import tokens_of
from jdcv_core.data.near_duplicates import near_duplicate_groups
from jdcv_core.data.normalise import document_id
from jdcv_core.errors import InputError

SMALL = {"cvs": 64, "jds": 64}
PLACES = ("early", 512, 1024, 2048, "spread")
BEFORE = "0a0241bd41b780a942c833e01fc14b6381a1ad556242943c6e6677d4ecef3b43"
"""The fingerprint of the small corpus before there was a place for the evidence."""


@cache
def written(at="anywhere"):
    """The people, the texts of CVs and JDs, and the names of all skills."""
    settings = DemoSettings(**SMALL, evidence_at=at)
    people, jobs, world, bank = draw_world(settings)
    cvs, jds = write_documents(settings, people, jobs, world, bank)
    names = [
        skill[:2] for sector in bank["sectors"].values() for f in sector.values() for skill in f
    ]
    return people, cvs, jds, names


def mentions(text, skills, names):
    """The tokens of text before each line that names one of the skills."""
    found, before = [], 0.0
    for line in text.split("\n"):
        if any(name in line for skill in skills for name in names[skill]):
            found.append(before)
        before += tokens_of(line + "\n")
    return np.array(found)


def each_cv(at):
    """The tokens before each mention of a skill that the person exercised, and the length."""
    people, cvs, _, names = written(at)
    for person, text in zip(people, cvs, strict=True):
        skills = {skill for e in person.experiences for skill in e.skills}
        yield mentions(text, skills, names), tokens_of(text)


def test_the_usual_corpus_is_unchanged():
    assert demo_corpus(**SMALL).facts["fingerprint"] == BEFORE
    assert demo_corpus(**SMALL, evidence_at="anywhere").facts["fingerprint"] == BEFORE


@pytest.mark.parametrize("at", [512, 1024, 2048])
def test_no_evidence_stands_before_the_place_and_it_begins_there(at):
    for places, length in each_cv(at):
        assert at <= places.min() <= at + 100
        assert length > placing.FAR + 300


def test_early_evidence_is_followed_by_filler_only():
    for places, length in each_cv("early"):
        assert places.min() < 150
        assert places.max() < length - placing.FAR


def test_spread_evidence_stands_all_over_the_cv():
    shares = np.concatenate([places / length for places, length in each_cv("spread")])
    counts, _ = np.histogram(shares, bins=4, range=(0, 1))
    assert counts.min() > 0.15 * counts.sum()


def test_places_differ_in_the_order_of_lines_only():
    _, first, jds, _ = written("early")
    _, usual, own, _ = written()
    assert jds == own
    for at in PLACES[1:]:
        _, cvs, others, _ = written(at)
        assert others == jds
        for one, other in zip(first, cvs, strict=True):
            assert one != other
            assert Counter(one.split("\n")) == Counter(other.split("\n"))
    for one, other in zip(usual, first, strict=True):
        assert not Counter(one.split("\n")) - Counter(other.split("\n"))


@pytest.mark.parametrize("at", PLACES)
def test_labels_do_not_change(at):
    def labels(place):
        _, cvs, _, _ = written(place)
        number = {document_id("cv", text): n for n, text in enumerate(cvs)}
        pairs = demo_corpus(**SMALL, evidence_at=place).pairs
        return {(number[p.cv], p.jd): (p.label, p.fit) for p in pairs}

    assert labels(at) == labels("anywhere")


def test_filler_makes_no_near_duplicates():
    documents = demo_corpus(**SMALL, evidence_at=2048).documents.values()
    assert all(one == group for one, group in near_duplicate_groups(documents).items())


@pytest.mark.parametrize("at", ["late", 0, 4096, True, 512.5])
def test_an_unknown_place_is_refused(at):
    with pytest.raises(InputError, match=r"data\.evidence_at.*anywhere, early, spread"):
        demo_corpus(**SMALL, evidence_at=at)
