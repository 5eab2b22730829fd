"""Splits keep their promises, and the leak check finds a promise that is broken by hand."""

import random
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from thorough import examples

from jdcv_core.data.leaks import check_leaks
from jdcv_core.data.near_duplicates import near_duplicate_groups
from jdcv_core.data.normalise import assemble
from jdcv_core.data.sources import load_table
from jdcv_core.data.splits import KINDS, PARTS, Split, make_split, split_summary
from jdcv_core.errors import InputError

PROMISED = {"cv": ("cv",), "jd": ("jd",), "disjoint": ("cv", "jd"), "pair": (), "official": ()}
FRACTIONS = (0.7, 0.1, 0.2)


@st.composite
def datasets(draw):
    """Pairs over some CVs and JDs with random labels and folds, and random groups."""
    cvs, jds = draw(st.integers(8, 25)), draw(st.integers(8, 15))
    rng = random.Random(draw(st.integers(0, 10**6)))
    cells = [(c, j) for c in range(cvs) for j in range(jds)]
    chosen = rng.sample(cells, min(len(cells), draw(st.integers(40, 120))))
    rows = [
        {
            "cv": f"cv text {c}",
            "jd": f"jd text {j}",
            "label": rng.choices((0, 1, 2), (5, 3, 2))[0],
            "fold": "test" if j % 4 == 0 else "train",
        }
        for c, j in chosen
    ]
    dataset = assemble("random", rows)
    groups = {}
    merged = draw(st.sampled_from([0.0, 0.3]))
    for side in ("cv", "jd"):
        ids = [d.id for d in dataset.side(side)]
        for i in ids:  # a document is its own group, or joins that of one with a smaller id
            other = rng.choice(ids) if rng.random() < merged else i
            groups[i] = groups[other] if other < i else i
    return dataset, groups


def split_or_none(dataset, kind, groups, seed=0):
    """None if a class cannot be in every part; any other refusal fails the test."""
    try:
        return make_split(dataset, kind, seed=seed, groups=groups)
    except InputError as error:
        if "has no pair of class" in str(error) or "its folds are" in str(error):
            return None
        raise


def in_part(dataset, split, part, side, groups):
    return {groups[getattr(dataset.pairs[i], side)] for i in split.parts()[part]}


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=examples(10), deadline=None)
@given(drawn=datasets(), seed=st.integers(0, 3))
def test_parts_share_nothing_that_the_kind_promises_not_to_share(kind, drawn, seed):
    dataset, groups = drawn
    split = split_or_none(dataset, kind, groups, seed)
    if split is None:
        return
    everything = [*split.train, *split.validation, *split.test, *split.discarded]
    assert sorted(everything) == list(range(len(dataset.pairs)))
    assert bool(split.discarded) <= (kind == "disjoint")
    for side in PROMISED[kind]:
        parts = [in_part(dataset, split, part, side, groups) for part in PARTS]
        assert sum(map(len, parts)) == len(set().union(*parts))
    for part in PARTS:
        labels = {dataset.pairs[i].label for i in split.parts()[part]}
        assert labels == {p.label for p in dataset.pairs}
    if kind == "official":
        assert {dataset.pairs[i].fold for i in split.test} == {"test"}
        assert {dataset.pairs[i].fold for i in (*split.train, *split.validation)} == {"train"}
        train, validation = (in_part(dataset, split, p, "jd", groups) for p in PARTS[:2])
        assert not train & validation
    check_leaks(dataset, split, groups)
    assert split == make_split(dataset, kind, seed=seed, groups=groups)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=examples(10), deadline=None)
@given(drawn=datasets(), data=st.data())
def test_one_pair_moved_by_hand_is_refused(kind, drawn, data):
    """Copy a pair into a second part, or move one that has company in its own part."""
    dataset, groups = drawn
    split = split_or_none(dataset, kind, groups)
    if split is None:
        return
    parts = {part: list(indices) for part, indices in split.parts().items()}
    source, target = data.draw(st.permutations(PARTS))[:2]
    index = data.draw(st.sampled_from(parts[source]))
    copied = {**parts, target: [*parts[target], index]}
    with pytest.raises(InputError, match="share 1 pairs"):
        check_leaks(dataset, replace(split, **{p: tuple(v) for p, v in copied.items()}), groups)

    rest = [i for i in parts[source] if i != index]
    pair = dataset.pairs[index]
    left_behind = any(
        groups[getattr(pair, side)] in {groups[getattr(dataset.pairs[i], side)] for i in rest}
        for side in PROMISED[kind]
    )
    moved = replace(split, **{source: tuple(rest), target: (*parts[target], index)})
    if left_behind:
        with pytest.raises(InputError, match=f"split '{kind}': .* share .* near-duplicates"):
            check_leaks(dataset, moved, groups)
    else:
        check_leaks(dataset, moved, groups)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=examples(10), deadline=None)
@given(drawn=datasets())
def test_the_leak_check_sees_near_duplicates_that_the_split_did_not_know(kind, drawn):
    """A split made without groups passes without groups, and fails when all CVs are one."""
    dataset, _ = drawn
    alone = {i: i for i in dataset.documents}
    split = split_or_none(dataset, kind, alone)
    if split is None:
        return
    check_leaks(dataset, split, alone)
    one_side = {i: "cv:all" if i.startswith("cv") else i for i in dataset.documents}
    if "cv" in PROMISED[kind]:
        with pytest.raises(InputError, match="share 1 CVs or near-duplicates of them, as cv:all"):
            check_leaks(dataset, split, one_side)
    else:
        check_leaks(dataset, split, one_side)


def dense(cvs=120, jds=40, pairs=1500, seed=0):
    """Every CV with many JDs: the hardest case for a doubly disjoint split."""
    rng = np.random.default_rng(seed)
    cells = rng.choice(cvs * jds, pairs, replace=False)
    rows = [
        {
            "cv": f"cv {cell // jds}",
            "jd": f"jd {cell % jds}",
            "label": int(rng.choice(3, p=[0.5, 0.25, 0.25])),
        }
        for cell in cells.tolist()
    ]
    dataset = assemble("dense", rows)
    return dataset, {i: i for i in dataset.documents}


@pytest.mark.parametrize("kind", ["pair", "cv", "jd", "disjoint"])
def test_fractions_and_classes_are_met(kind):
    dataset, groups = dense()
    split = make_split(dataset, kind, seed=1, groups=groups)
    kept = len(dataset.pairs) - len(split.discarded)
    whole = np.bincount([p.label for p in dataset.pairs]) / len(dataset.pairs)
    for fraction, indices in zip(FRACTIONS, split.parts().values(), strict=True):
        assert len(indices) / kept == pytest.approx(fraction, abs=0.03)
        shares = np.bincount([dataset.pairs[i].label for i in indices]) / len(indices)
        assert shares == pytest.approx(whole, abs=0.05)


def test_disjoint_keeps_more_than_chance_can():
    dataset, groups = dense()
    split = make_split(dataset, "disjoint", seed=0, groups=groups)
    chance = 1 / sum(f**0.5 for f in FRACTIONS) ** 2
    assert chance == pytest.approx(0.39, abs=0.005)
    assert len(split.discarded) / len(dataset.pairs) < 1 - 1.3 * chance
    # 90 pairs that share nothing: nearly none needs to be discarded.
    rows = [{"cv": f"cv {n}", "jd": f"jd {n}", "label": n % 3} for n in range(90)]
    worlds = assemble("worlds", rows)
    alone = {i: i for i in worlds.documents}
    assert len(make_split(worlds, "disjoint", seed=0, groups=alone).discarded) <= 4


@pytest.mark.parametrize("kind", ["pair", "cv", "jd", "disjoint"])
def test_seeds_differ_and_the_order_of_the_rows_does_not_matter(kind):
    rng = random.Random(0)
    rows = [
        {"cv": f"cv {n % 31}", "jd": f"jd {n % 17}", "label": rng.randrange(3)} for n in range(300)
    ]
    dataset, shuffled = assemble("a", rows), assemble("b", rng.sample(rows, len(rows)))
    groups = {i: i for i in dataset.documents}
    split = make_split(dataset, kind, seed=5, groups=groups)
    assert split == make_split(shuffled, kind, seed=5, groups=groups)
    assert split != make_split(dataset, kind, seed=6, groups=groups)


def test_a_class_in_too_few_groups_is_refused_with_part_and_class():
    rows = [{"cv": f"cv {n}", "jd": f"jd {n % 9}", "label": int(n % 9 == 0) * 2} for n in range(90)]
    dataset = assemble("rare", rows)
    groups = {i: i for i in dataset.documents}
    message = r"split 'jd' of rare: \w+ \(\d+ pairs\) has no pair of class 'Good Fit'\. Choose"
    with pytest.raises(InputError, match=message):
        make_split(dataset, "jd", seed=0, groups=groups)
    make_split(dataset, "pair", seed=0)


def test_three_pairs_of_a_class_are_enough_to_split_by_pair():
    rows = [{"cv": f"cv {n}", "jd": "jd", "label": 2 if n < 3 else 0} for n in range(90)]
    dataset = assemble("three", rows)
    split = make_split(dataset, "pair", seed=0)
    for indices in split.parts().values():
        assert sum(dataset.pairs[i].label == 2 for i in indices) == 1


def test_what_cannot_be_split_so_is_refused():
    dataset, groups = dense()
    with pytest.raises(InputError, match="no kind 'jds'. Did you mean 'jd'"):
        make_split(dataset, "jds", seed=0)
    with pytest.raises(InputError, match=r"its folds are \[''\]"):
        make_split(dataset, "official", seed=0, groups=groups)
    for fractions in ((0.8, 0.2), (0.8, 0.0, 0.2), (0.7, 0.2, 0.2)):
        with pytest.raises(InputError, match="three numbers above 0"):
            make_split(dataset, "pair", seed=0, fractions=fractions)


def test_the_facts_of_a_split_counted_by_hand():
    rows = [
        {"cv": "a", "jd": "x", "label": 0},
        {"cv": "a", "jd": "y", "label": 1},
        {"cv": "b", "jd": "x", "label": 2},
        {"cv": "b", "jd": "y", "label": 0},
        {"cv": "c", "jd": "x", "label": 0},
    ]
    dataset = assemble("hand", rows)
    text = {i: d.text for i, d in dataset.documents.items()}
    at = {(text[p.cv], text[p.jd]): n for n, p in enumerate(dataset.pairs)}
    split = Split(
        "pair", (at["a", "x"],), (at["b", "y"],), (at["a", "y"], at["b", "x"]), (at["c", "x"],)
    )
    facts = split_summary(dataset, split)
    assert facts == {
        "kind": "pair",
        "train": {
            "pairs": 1,
            "labels": {"No Fit": 1, "Potential Fit": 0, "Good Fit": 0},
            "cvs": 1,
            "jds": 1,
        },
        "validation": {
            "pairs": 1,
            "labels": {"No Fit": 1, "Potential Fit": 0, "Good Fit": 0},
            "cvs": 1,
            "jds": 1,
        },
        "test": {
            "pairs": 2,
            "labels": {"No Fit": 0, "Potential Fit": 1, "Good Fit": 1},
            "cvs": 2,
            "jds": 2,
        },
        "discarded": 1,
        "test_cvs_in_train": 0.5,
        "test_jds_in_train": 0.5,
    }
    groups = {i: i[:3] for i in dataset.documents}  # all documents of a side are near-duplicates
    near = split_summary(dataset, split, groups)
    assert near == {**facts, "test_cvs_in_train": 1.0, "test_jds_in_train": 1.0}


@cache
def load_real(path):
    dataset = load_table(path)
    return dataset, near_duplicate_groups(dataset.documents.values())


@pytest.fixture
def real(shared_data):
    return load_real(shared_data / "resume_job_fit" / "pairs.csv")


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("kind", ["pair", "cv", "jd", "disjoint"])
def test_the_real_pairs_split_in_every_kind_for_every_seed(real, kind, seed):
    """All Good Fit rows belong to 5 JDs, and still every part has some."""
    dataset, groups = real
    split = make_split(dataset, kind, seed=seed, groups=groups)
    check_leaks(dataset, split, groups)
    facts = split_summary(dataset, split)
    assert all(facts[part]["labels"]["Good Fit"] > 0 for part in PARTS)
    assert facts["discarded"] <= (0.3 * 635 if kind == "disjoint" else 0)
    for side in PROMISED[kind]:
        assert facts[f"test_{side}s_in_train"] == 0
    if kind == "pair":
        assert facts["test_cvs_in_train"] > 0.4
