"""Recall by chunk vectors, and the check of the pairs used in pretraining."""

import json

import numpy as np
import pytest

from experiments.recipes.pretrained_encoders import SEEN, check_seen, of_seed, retrieval
from jdcv_core.data.splits import Split
from jdcv_core.encoding.whitening import Whitening
from jdcv_core.errors import InputError
from jdcv_core.types import Dataset, Document, Pair


def corpus(seed=0, jds=8, cvs=30, dim=6):
    """Make pairs, chunk vectors, and a split whose test consists of the last three JDs."""
    rng = np.random.default_rng(seed)
    ids = [f"jd:{i}" for i in range(jds)] + [f"cv:{i:02}" for i in range(cvs)]
    matrices = {i: rng.normal(size=(rng.integers(1, 4), dim)) for i in ids}
    pairs = [
        Pair(f"cv:{c:02}", f"jd:{j}", int(rng.choice(3, p=[0.6, 0.2, 0.2])))
        for j in range(jds)
        for c in range(cvs)
        if rng.random() < 0.7
    ]
    part = [min(2, max(0, int(p.jd[3:]) - jds + 4)) for p in pairs]
    split = Split("jd", *(tuple(np.flatnonzero(np.array(part) == k).tolist()) for k in range(4)))
    return Dataset("made up", {i: Document(i, i) for i in ids}, pairs), matrices, split


def slow_recall(dataset, matrices, split):
    train = sorted({i for at in split.train for i in (dataset.pairs[at].cv, dataset.pairs[at].jd)})
    white = Whitening.fit(matrices, train)(matrices)
    test = [dataset.pairs[at] for at in split.test]
    each = []
    for jd in sorted({p.jd for p in test if p.label == 2}):
        good = {p.cv for p in test if p.jd == jd and p.label == 2}
        scores = {}
        for cv in {p.cv for p in test}:
            best = []
            for u in white[jd]:
                cosines = [u @ v / np.linalg.norm(u) / np.linalg.norm(v) for v in white[cv]]
                best.append(max(cosines))
            scores[cv] = sum(best) / len(best)
        first = sorted(scores, key=lambda cv: (-scores[cv], cv))[:10]
        each.append(len(good & set(first)) / len(good))
    return float(np.mean(each))


def test_recall_equals_plain_loops_and_a_better_encoder_is_above():
    dataset, matrices, split = corpus()
    planted = {i: m.copy() for i, m in matrices.items()}
    for p in dataset.pairs:
        if p.label == 2:
            planted[p.jd][0] += 0.5 * planted[p.cv][0]
    encoded = {(name, 0): own for name, own in (("plain", matrices), ("better", planted))}
    names = {"plain": "plain", "better": "better"}
    one, other = retrieval(encoded, dataset, {0: split}, names, "plain")
    assert one["recall"] == pytest.approx(slow_recall(dataset, matrices, split))
    assert other["recall"] == pytest.approx(slow_recall(dataset, planted, split))
    assert other["against"]["difference"] == pytest.approx(other["recall"] - one["recall"])
    assert other["recall"] > one["recall"]
    assert "against" not in one


def test_an_encoder_is_refused_where_it_saw_what_is_tested_and_nowhere_else(tmp_path):
    dataset, _, split = corpus()
    pairs = dataset.pairs

    def seen(*index):
        content = {"seed": 0, "split": "jd", "pairs": [[pairs[i].jd, pairs[i].cv] for i in index]}
        (tmp_path / SEEN).write_text(json.dumps(content))

    check_seen(tmp_path, {("jd", 0): split}, dataset, 0)  # without seen.json nothing is refused
    seen(*split.train)
    check_seen(tmp_path, {("jd", 0): split}, dataset, 0)
    check_seen(tmp_path, {("jd", 1): Split("jd", (), (), split.train, ())}, dataset, 0)
    seen(*split.train, split.test[0])
    with pytest.raises(InputError, match="split 'jd', seed 0"):
        check_seen(tmp_path, {("jd", 0): split}, dataset, 0)
    seen(split.train[0])  # a shared CV is allowed in a split by JD, but not by CV
    cv = pairs[split.train[0]].cv
    other = tuple(i for i in split.test if pairs[i].cv == cv)
    assert other
    by_jd, by_cv = (Split(kind, split.train, (), other, ()) for kind in ("jd", "cv"))
    check_seen(tmp_path, {("jd", 0): by_jd}, dataset, 0)
    with pytest.raises(InputError, match=f"the document {cv}"):
        check_seen(tmp_path, {("cv", 0): by_cv}, dataset, 0)


def test_a_folder_of_seeds_gives_each_seed_its_encoder(tmp_path):
    assert of_seed(tmp_path, 3) == tmp_path
    for seed in (0, 2):
        (tmp_path / f"seed-{seed}").mkdir()
    assert of_seed(tmp_path, 2) == tmp_path / "seed-2"
    with pytest.raises(InputError, match=r"seeds=\[0,2\]"):
        of_seed(tmp_path, 1)
