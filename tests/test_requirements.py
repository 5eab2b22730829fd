"""Explanations by requirement: what is planted is found, and the parts are the scorer's own."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from random_chunks import DIM
from thorough import examples

from jdcv_core.chunking import TokenChunker
from jdcv_core.encoding.gpt2_mini import train_tokenizer
from jdcv_core.explanation import Explanation, explain_pair
from jdcv_core.requirements import ANSWERS, Numbers, numbers_of, requirements_of, with_texts
from jdcv_core.scoring import MeanPairs
from jdcv_core.types import Chunk, ChunkVectors, Document, Encoded, Months
from research.compare_aggregate import CompareAggregate
from research.experience.requirement_chunking import RequirementChunker

JD = """Engineer wanted
5 years of Kafka
Welding of pipes
You read Dutch
Free lunch"""
CV = """Ada Byron
Experience
Data Engineer, 01/2019-04/2022, Acme
Ran Kafka clusters.

- Moved desks.
Night Baker, 05/2015-12/2018, Loaf
Baked bread.
Tuned Kafka at night.
Education
Speaks Dutch
Degree, Leeds"""
TOPICS = ("Kafka", "Welding", "Dutch", "lunch")
WIDTH = 24


@pytest.fixture(scope="module")
def sides() -> tuple[Encoded, Encoded]:
    """CV and JD: a line that names a topic has its axis, every other line another one."""
    texts = {"cv:1": CV, "jd:1": JD}
    documents = [Document(i, text) for i, text in texts.items()]
    cut = RequirementChunker(reference="2024-04").cut(documents, train_tokenizer([CV, JD], 400), 64)
    free = iter(range(len(TOPICS), WIDTH))
    found = []
    for document, chunks in zip(documents, cut.chunks, strict=True):
        lines = [document.text[c.start : c.end] for c in chunks]
        axes = [next((n for n, t in enumerate(TOPICS) if t in x), None) for x in lines]
        axes = [next(free) if axis is None else axis for axis in axes]
        vectors = np.eye(WIDTH, dtype=np.float32)[axes]
        found.append(Encoded(document, tuple(chunks), vectors, cut.chunker, ""))
    return found[0], found[1]


def scorer_of(**switches) -> CompareAggregate:
    """It gives no importance to lunch."""
    scorer = CompareAggregate(WIDTH, **switches)
    with torch.no_grad():
        scorer.importance.moved[TOPICS.index("lunch")] = -2.0
    return scorer.eval()


def explained(sides, **switches) -> Explanation:
    cv, jd = sides
    return explain_pair(scorer_of(**switches), cv, jd, lambda score: "a label")


def named(explanation, word):
    (found,) = [r for r in explanation.requirements if word in r.text]
    return found


@pytest.mark.parametrize("switches", [{}, {"months": True}, {"months": True, "maximum": "soft"}])
def test_a_planted_requirement_is_matched_and_another_one_is_missing(sides, switches):
    found = explained(sides, **switches)
    assert len(found.requirements) == 5
    kafka, welding = named(found, "Kafka"), named(found, "Welding")
    assert (kafka.state, welding.state) == ("matched", "missing")
    assert kafka.answers[0].text.strip() == "Ran Kafka clusters."
    assert kafka.part > 4 * welding.part
    assert named(found, "lunch").importance < 0.01 * kafka.importance
    assert [r.listed for r in found.requirements] == [True, True, True, True, False]


def test_an_answer_names_its_experience_and_months_and_that_of_each_other_experience(sides):
    kafka, dutch = (named(explained(sides, months=True), word) for word in ("Kafka", "Dutch"))
    first, second = kafka.answers
    assert (first.title, first.dates) == ("Data Engineer", "01/2019-04/2022")
    assert (first.months, first.ended) == (39, 24)
    assert first.experience == "Data Engineer, 01/2019-04/2022, 39 months, ended 24 months ago"
    assert second.text.strip() == "Tuned Kafka at night."
    assert (second.title, second.months) == ("Night Baker", 43)
    (only,) = dutch.answers
    assert (only.text.strip(), only.experience, only.months) == ("Speaks Dutch", "", None)


def test_texts_are_the_characters_that_they_name(sides):
    found = explained(sides, months=True)
    for r in found.requirements:
        assert r.text == JD[r.start : r.end]
        for answer in r.answers:
            assert answer.text == CV[answer.start : answer.end]
    assert "".join(r.text for r in found.requirements) == JD


def test_the_requirements_come_first_and_the_important_ones_first(sides):
    cv, jd = sides
    scorer = scorer_of()
    with torch.no_grad():
        scorer.importance.moved[TOPICS.index("Dutch")] = 0.1
    found = explain_pair(scorer, cv, jd, lambda score: "a label")
    shown = str(found).splitlines()
    parts = sum(r.part for r in found.requirements)
    assert shown[0] == f"score {found.score:.3f} (a label)"
    assert shown[1].startswith(f"logit {math.log(found.score / (1 - found.score)):+.2f} = ")
    assert f"requirements {parts:+.2f}, bias -2.00, level +0.00" in shown[1]
    at = [next(n for n, x in enumerate(shown) if t in x) for t in ("Dutch", "Kafka", "Welding")]
    assert at == sorted(at)
    assert shown.index("matched: 2 of the JD's lines") < at[0]
    assert at[1] < shown.index("missing: 2 of the JD's lines") < at[2]
    assert shown[at[0]] == '  importance 0.40  covered 1.00  "You read Dutch"'.replace(
        "0.40", f"{named(found, 'Dutch').importance:.2f}"
    )
    assert shown[at[0] + 1] == '      ← "Speaks Dutch" (no dated experience)'
    assert not any("lunch" in x for x in shown[: shown.index("missing: 2 of the JD's lines") + 3])
    assert "not listed: 1 of the JD's lines, of hardly any importance" in shown
    assert "CV chunks by their effect on the score, the 5 largest of 11" in shown
    assert "JD chunks by their effect on the score" in shown  # there are only 5
    assert not any(x.startswith("note") for x in shown)


def test_other_scorers_are_explained_as_before(sides):
    cv, jd = sides
    found = explain_pair(MeanPairs(WIDTH), cv, jd, lambda score: "a label")
    assert (found.requirements, found.bias, found.level, found.notes) == ((), 0, 0, ())
    lines = [f"score {found.score:.3f} (a label)"]
    for side, other, effects in (("CV", "JD", found.cv), ("JD", "CV", found.jd)):
        lines.append(f"{side} chunks by their effect on the score")
        lines += [
            f"  {e.effect:+.3f}  {e.index:>3}  nearest {other} chunk {e.nearest} ({e.cosine:+.2f})"
            f"  {' '.join(e.text.split())}"
            for e in sorted(effects, key=lambda e: -e.effect)
        ]
    assert str(found).splitlines() == lines


def random_side(side: str, chunks: int, rng) -> Encoded:
    """A document of random vectors, words, and months of up to three experiences."""
    places = rng.integers(-1, 3, chunks)
    durations, recencies = rng.integers(1, 60, 3), rng.integers(0, 200, 3)
    months = [
        Months(math.nan, math.nan, 1.0, math.nan)
        if p < 0
        else Months(float(durations[p]), float(recencies[p]), 1.0, float(p))
        for p in places
    ]
    name = f"{side}:1"
    text = "".join(chr(97 + n % 26) for n in range(chunks))
    cut = tuple(Chunk(name, n, n, n + 1, (n,), months[n]) for n in range(chunks))
    words = np.stack([rng.integers(0, 9, (chunks, 3)), rng.uniform(0.1, 0.9, (chunks, 3))], 2)
    words[:, :, 0] = np.sort(words[:, :, 0]) + 9 * np.arange(3)  # distinct within a chunk
    vectors = rng.normal(size=(chunks, DIM)).astype(np.float32)
    chunker = TokenChunker(1)
    return Encoded(Document(name, text), cut, vectors, chunker, "", words.astype(np.float32))


@pytest.mark.parametrize("maximum", ["hard", "soft"])
@pytest.mark.parametrize(
    "on",
    [{"saturate": False, "words": True}, {"importance": False}, {"months": True, "level": True},
     {"months": True, "level": True, "words": True}],
)  # fmt: skip
@settings(max_examples=examples(5))
@given(st.integers(1, 5), st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_the_parts_add_up_to_the_logit(on, maximum, asked, said, seed):
    rng = np.random.default_rng(seed)
    jd, cv = random_side("jd", asked, rng), random_side("cv", said, rng)
    scorer = CompareAggregate(DIM, maximum=maximum, **on)
    with torch.no_grad():
        for name, parameter in scorer.named_parameters():
            spread = 0.02 if name.endswith("moved") else 0.5
            parameter += spread * torch.from_numpy(rng.normal(size=parameter.shape)).float()
    each, bias, level = requirements_of(scorer, cv, jd)
    months = {"cv:1": cv.months, "jd:1": jd.months}
    words = {"cv:1": cv.words, "jd:1": jd.words}
    padded = [ChunkVectors.pad({x.document.id: x.vectors}, [x.document.id], months, words)
              for x in (jd, cv)]  # fmt: skip
    logit = scorer(*padded).item()
    assert sum(r.part for r in each) + bias - level == pytest.approx(logit, abs=1e-4)
    assert sum(r.importance for r in each) == pytest.approx(1, abs=1e-5)
    score = explain_pair(scorer, cv, jd, str).score
    assert score == pytest.approx(1 / (1 + math.exp(-logit)), abs=1e-5)


def test_numbers_survive_a_record(sides):
    cv, jd = sides
    scorer = scorer_of(months=True, level=True)
    padded = [ChunkVectors.pad({"x": x.vectors}, ["x"], {"x": x.months} if x.months is not None
                               else None) for x in (jd, cv)]  # fmt: skip
    line = json.loads(json.dumps(numbers_of(scorer, *padded)._asdict()))
    assert with_texts(Numbers(**line), cv, jd) == requirements_of(scorer, cv, jd)


@settings(max_examples=examples(20))
@given(st.integers(1, 4), st.integers(1, 9), st.integers(0, 2**32 - 1))
def test_answers_are_the_best_of_each_experience_by_plain_loops(asked, said, seed):
    rng = np.random.default_rng(seed)
    jd, cv = random_side("jd", asked, rng), random_side("cv", said, rng)
    scorer = CompareAggregate(DIM)
    place = [c.months.experience for c in cv.chunks]
    own = [None if math.isnan(p) else p for p in place]
    for r in requirements_of(scorer, cv, jd).each:
        u = jd.vectors[r.index]
        cosines = [float(u @ v / np.sqrt((u @ u) * (v @ v))) for v in cv.vectors]
        shares = [1 / (1 + math.exp(-10 * (s - 0.35))) for s in cosines]
        best = max(range(said), key=lambda k: cosines[k])
        others = []
        for p in dict.fromkeys(own):
            of_place = [k for k in range(said) if own[k] == p and p != own[best]]
            if of_place and max(shares[k] for k in of_place) >= ANSWERS:
                others.append(max(of_place, key=lambda k: shares[k]))
        assert [a.index for a in r.answers] == [best, *sorted(others)]
        assert [a.share for a in r.answers] == pytest.approx(
            [shares[k] for k in (best, *sorted(others))], abs=1e-5
        )


def test_texts_unlike_those_of_the_training_get_a_note(sides):
    cv, jd = sides
    far = np.full(WIDTH, 0.5, dtype=np.float32)  # the same for all lines: another mean
    moved = [replace(side, vectors=side.vectors + far) for side in (cv, jd)]
    (note,) = explain_pair(scorer_of(), *moved, str).notes
    assert note.startswith("the median cosine of a CV line and a JD line is 0.8")
    assert f"note: {note}" in str(explain_pair(scorer_of(), *moved, str)).splitlines()
    short = replace(moved[1], chunks=jd.chunks[:4], vectors=moved[1].vectors[:4])
    assert explain_pair(scorer_of(), moved[0], short, str).notes == ()


def test_what_the_chunker_could_not_read_is_noted(sides):
    cv, jd = sides
    doubtful = replace(cv, faults=("a date was not read",))
    assert explain_pair(scorer_of(), doubtful, jd, str).notes == ("a date was not read",)
