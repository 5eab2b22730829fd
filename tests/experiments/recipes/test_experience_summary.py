"""What an experiment writes about the half-life of its training pairs."""

import json
import math

import pytest

from experiments.recipes import experience_summary
from experiments.schema import MatchConfig
from jdcv_core import records
from jdcv_core.data.demo.generate import demo_corpus
from jdcv_core.data.splits import make_split
from research.experience.fit_half_life import HalfLife


@pytest.mark.parametrize(("error", "written"), [(math.inf, None), (0.25, 0.25)])
def test_a_half_life_that_the_pairs_do_not_determine_can_be_written(
    error, written, monkeypatch, tmp_path
):
    found = HalfLife(rate=0.5, error=error, loss=0.1, loss_without_age=0.1, pairs=9)
    monkeypatch.setattr(experience_summary, "fit_half_life", lambda evidence: found)
    data = demo_corpus(cvs=40, jds=40, pairs_per_cv=6)
    splits = {("jd", 0): make_split(data, "jd", seed=0)}
    config = MatchConfig(seeds=[0])
    reference = 12 * 2024 + 5
    lines = [{"learnt": {"half_life": 24.0}, "kind": "variant"}]
    facts = experience_summary.facts_of(reference, data, splits, config, tmp_path, lines)
    text = json.dumps(records.plain(facts), allow_nan=False)
    assert json.loads(text)["half_life"]["error"] == written
    assert facts["half_life"]["text"] == str(found)


def test_no_half_life_is_fitted_where_no_row_learns_one(monkeypatch, tmp_path):
    monkeypatch.setattr(experience_summary, "fit_half_life", lambda evidence: 1 / 0)
    data = demo_corpus(cvs=40, jds=40, pairs_per_cv=6)
    splits = {("jd", 0): make_split(data, "jd", seed=0)}
    given = data, splits, MatchConfig(seeds=[0]), tmp_path, [{"kind": "variant"}]
    assert experience_summary.facts_of(12 * 2024 + 5, *given) == {}
