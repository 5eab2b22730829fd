"""The points of a sweep and of named conditions, before anything runs."""

import pytest
from omegaconf import OmegaConf

from experiments.recipes import sweep
from jdcv_core.errors import InputError


def config(**given):
    return OmegaConf.create({"sweep": {}, "conditions": {}, "a": {"b": 1, "c": 2}} | given)


def test_a_sweep_has_every_combination_and_each_is_its_own_change():
    points = sweep._points(config(sweep={"a.b": [1, 2], "a.c": [3, 4, 5]}))
    assert len(points) == 6
    assert all(said == changes for said, changes in points)
    assert {(p["a.b"], p["a.c"]) for p, _ in points} == {(b, c) for b in (1, 2) for c in (3, 4, 5)}


def test_a_condition_is_recorded_by_its_name_and_may_change_several_keys():
    named = {"both": {"a.b": 7, "a.c": 8}, "one": {"a.b": 9}}
    points = sweep._points(config(conditions=named))
    assert points == [({"condition": name}, changes) for name, changes in named.items()]


def test_conditions_that_change_the_same_keys_are_a_curve():
    def axis(**conditions):
        return sweep._axis(sweep._points(config(conditions=conditions)))

    early, late = {"data.evidence_at": "early"}, {"data.evidence_at": 512}
    assert axis(early=early, late=late) == "evidence at"
    assert axis(early=early, late=late, other={"data.half_life": 24}) is None
    lines = {"chunking.by": "requirement", "chunking.size": None}
    assert axis(coarse={"chunking.by": "tokens", "chunking.size": 256}, lines=lines) == "chunking"
    assert axis(coarse={"chunking.size": 256}, lines=lines) is None
    assert axis(one={"data.half_life": 24, "split.kind": "cv"}) is None
    assert axis(as_it_is={}) is None


def test_a_sweep_and_conditions_together_are_refused():
    both = config(sweep={"a.b": [1]}, conditions={"one": {"a.b": 2}})
    with pytest.raises(InputError, match="conditions: a sweep is given, too"):
        sweep._points(both)


@pytest.mark.parametrize(
    ("given", "where"),
    [
        ({"conditions": {"one": {"a.d": 2}}}, r"conditions\.one\.a\.d"),
        ({"sweep": {"a.d": [2]}}, r"sweep\.a\.d"),
    ],
)
def test_an_unknown_key_is_named_before_anything_runs(given, where):
    with pytest.raises(InputError, match=where):
        sweep.run(config(experiment="x", **given))
