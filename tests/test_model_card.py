"""The card contains the given facts, names those that are missing, and always has the risks."""

import re

import pytest
import yaml

from jdcv_core.data.demo.generate import demo_corpus
from jdcv_core.data.splits import make_split, split_summary
from jdcv_core.model_card import KEYS, UNKNOWN, model_card
from jdcv_core.records import git_state, versions

FACTS = {
    "name": "gpt2-mini, full",
    "base": "gpt2-mini",
    "parameters": 3_191_552,
    "mode": "full",
    "scorer": "jdcv_core.scoring.MeanPairs",
    "chunks": {"size": 1024, "overlap": 0},
    "precision": "fp32",
    "data": {
        "name": "resume-job-description-fit",
        "source": "pairs.csv",
        "fingerprint": "4f1c",
        "pairs": 6241,
        "cvs": 642,
        "jds": 351,
        "label_counts": {"No Fit": 3143, "Potential Fit": 1556, "Good Fit": 1542},
    },
    "label_origin": "recruiters",
    "languages": ["en"],
    "split": {
        "kind": "jd",
        "train": {"pairs": 4000},
        "validation": {"pairs": 700},
        "test": {"pairs": 1541},
        "test_cvs_in_train": 0.9979,
        "test_jds_in_train": 0.0,
    },
    "seed": 1000,
    "cuts": (0.35, 0.6125),
    "metrics": {
        "weighted_f1": {"value": 0.61249, "low": 0.58, "high": 0.641},
        "qwk": {"mean": 0.5, "sd": 0.02},
        "auc_good": {"value": 0.8, "low": float("nan"), "high": 0.9},
        "macro_f1": {"value": float("nan")},
    },
    "interval": "95% bootstrap over JDs",
    "baseline": {"name": "frozen", "metrics": {"weighted_f1": {"value": 0.562}}},
    "license": "cc-by-4.0",
    "base_license": "mit",
    "experiment": "baseline",
    "config_hash": "0123456789ab",
    "git": {"commit": "c" * 40, "dirty": False},
    "versions": {"python": "3.11", "torch": "2.13.0"},
}
"""Every key, with values that appear nowhere else in a card."""


def lines_about(card: str, start: str) -> list[str]:
    return [line for line in card.splitlines() if line.startswith(start)]


def test_these_facts_have_every_key_of_a_card():
    assert set(FACTS) == set(KEYS)


@pytest.mark.parametrize("key", KEYS)
def test_each_fact_changes_the_card_and_a_missing_fact_is_named(key):
    without = {k: v for k, v in FACTS.items() if k != key}
    assert model_card(without) != model_card(FACTS)
    assert model_card({**FACTS, key: None}) == model_card(without)
    if key not in ("name", "license", "metrics"):  # two have a default, one has a fixed sentence
        assert model_card(without).count(UNKNOWN) > model_card(FACTS).count(UNKNOWN)


def test_every_number_of_the_facts_is_in_the_card():
    card = model_card(FACTS)
    for said in (
        "3,191,552", "full: all weights", "`jdcv_core.scoring.MeanPairs`", "1,024", "fp32",
        "resume-job-description-fit", "pairs.csv", "`4f1c`", "6,241", "642", "351",
        "3,143 No Fit, 1,556 Potential Fit, 1,542 Good Fit", "recruiters", "texts: en",
        "4,000", "700", "1,541", "99.8%", "0.0%", "Seed: 1000", "0.35", "0.6125",
        "95% bootstrap over JDs", "baseline: frozen", "mit", "`0123456789ab`", "c" * 40,
        "python 3.11, torch 2.13.0",
    ):  # fmt: skip
        assert said in card
    assert lines_about(card, "| weighted_f1") == ["| weighted_f1 | 0.612 [0.580, 0.641] | 0.562 |"]
    assert lines_about(card, "| qwk") == [f"| qwk | 0.500 ± 0.020 | {UNKNOWN} |"]
    assert lines_about(card, "| auc_good") == [f"| auc_good | 0.800 | {UNKNOWN} |"]
    assert lines_about(card, "| macro_f1") == [f"| macro_f1 | {UNKNOWN} | {UNKNOWN} |"]


def test_a_model_of_two_classes_has_one_cut():
    card = model_card({**FACTS, "cuts": (0.4, 0.4)})
    assert "a class: No Fit or Good Fit." in card
    assert "Good Fit from a score of: 0.4" in card
    assert "Potential Fit from" not in card


def test_without_facts_every_field_says_so():
    card = model_card({})
    fields = re.findall(r"^- ([^:*\n]+): (.*)$", card, re.MULTILINE)
    assert len(fields) > 25
    told = [(name, text) for name, text in fields if text.strip("`.") != UNKNOWN]
    limits = model_card({}).partition("## Limits")[2]
    assert told
    assert all(f"- {name}: {text}" in limits for name, text in told)
    assert f"Metrics on test pairs: {UNKNOWN}" in card


def test_the_front_matter_is_the_hubs():
    for facts, license, language in ((FACTS, "cc-by-4.0", ["en"]), ({}, "apache-2.0", None)):
        empty, head, _ = model_card(facts).split("---\n", 2)
        front = yaml.safe_load(head)
        assert (empty, front["license"], front.get("language")) == ("", license, language)
        assert front["library_name"] == "jdcv"
        assert all(isinstance(tag, str) for tag in front["tags"])


@pytest.mark.parametrize("facts", [FACTS, {}])
def test_every_card_has_the_limits(facts):
    card = " ".join(model_card(facts).split())
    for said in (
        "Do not use it to reject anyone automatically", "Bias was not audited",
        "calibration is not claimed", "not who did well in a job", "Intended use",
        "Matcher.from_pretrained", "jdcv score --model", "Languages of the training texts",
    ):  # fmt: skip
        assert said in card
    assert "worthless" not in card


def test_a_model_of_the_demo_corpus_says_that_it_is_worthless():
    """The facts are those that a recipe passes."""
    dataset = demo_corpus(cvs=40, jds=40, pairs_per_cv=6)
    split = make_split(dataset, "jd", seed=0)
    facts = {
        "data": {"name": dataset.name, **dataset.facts},
        "split": split_summary(dataset, split),
        "git": git_state(),
        "versions": versions(),
    }
    card = model_card(facts)
    assert "worthless on real CVs" in card
    assert f"- Pairs for test: {len(split.test)}" in card
    assert dataset.facts["fingerprint"] in card
    assert "\n- Test JDs that are also in train: 0.0%" in card


def test_a_commit_with_changes_says_so():
    card = model_card({"git": {"commit": "abc", "dirty": True}})
    assert "`abc`, with changes that are not in it" in card


def test_a_text_cannot_break_out_of_its_line():
    evil = "a|b\n# Not for humans\n---"
    card = model_card({"base": evil, "metrics": {evil: {"value": 1.0}}, "languages": ["en: |\n x"]})
    assert not lines_about(card, "# Not")
    (row,) = lines_about(card, "| a/b")
    assert row.count("|") == 4
    assert yaml.safe_load(card.split("---\n", 2)[1])["language"] == ["en: |\n x"]


def test_a_misspelt_fact_is_an_error():
    with pytest.raises(ValueError, match="did you mean 'metrics'"):
        model_card({"metricks": {}})
