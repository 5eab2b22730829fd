"""Train, validation and test: how the pairs are parted, and the check that nothing leaks. Ours."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from jdcv_core.data import partition
from jdcv_core.data.near_duplicates import near_duplicate_groups
from jdcv_core.errors import InputError, nearest
from jdcv_core.types import LABELS, SIDES, Dataset, Pair, Side

Kind = Literal["official", "pair", "cv", "jd", "disjoint"]
KINDS: tuple[Kind, ...] = get_args(Kind)
PARTS = ("train", "validation", "test")

NEVER_SHARED: dict[str, tuple[Side, ...]] = {"cv": ("cv",), "jd": ("jd",), "disjoint": SIDES}


@dataclass(frozen=True)
class Split:
    """Indices into `dataset.pairs`, ascending; every pair is in exactly one of the four."""

    kind: Kind
    train: tuple[int, ...]
    validation: tuple[int, ...]
    test: tuple[int, ...]
    discarded: tuple[int, ...] = ()

    def parts(self) -> dict[str, tuple[int, ...]]:
        """`train`, `validation`, `test` → their indices."""
        return {part: getattr(self, part) for part in PARTS}


def make_split(
    dataset: Dataset,
    kind: str,
    *,
    seed: int,
    fractions: Sequence[float] = (0.7, 0.1, 0.2),
    groups: Mapping[str, str] | None = None,
) -> Split:
    """Part the pairs into train, validation and test.

    kind:      what a test pair may have in common with a training pair.
               `official` the source's own folds; validation is taken from its training fold, with
                          no JD in both
               `pair`     anything but the pair: each class is shuffled and cut at the fractions
               `cv`, `jd` not the CV (or the JD), nor a near-duplicate of it
               `disjoint` neither; pairs between the parts are discarded
    seed:      the same seed gives the same split, whatever the order of the source's rows
    fractions: of the pairs in train, validation, test; above 0, their sum 1. `official` uses the
               first two for its training fold, `disjoint` all three for the pairs it keeps
    groups:    document id → its group, from `near_duplicate_groups`; None: found here

    Whole groups are parted, so the fractions are met as nearly as the groups allow: of 200
    seeded shuffles the one is taken whose classes are the nearest to the fractions in every part.
    For `disjoint` see `partition.disjoint`.

    Raises InputError for an unknown kind, for fractions as above, for `official` without folds,
    and if a class of the dataset is absent from a part.
    """
    if kind not in KINDS:
        raise InputError("split", f"there is no kind {kind!r}", nearest(kind, list(KINDS)))
    if len(fractions) != 3 or min(fractions) <= 0 or abs(sum(fractions) - 1) > 1e-6:
        what = f"the fractions are {tuple(fractions)}"
        raise InputError("split", what, "give three numbers above 0 whose sum is 1")
    share = np.asarray(fractions, dtype=float)
    rng = np.random.default_rng(seed)
    label = np.array([pair.label for pair in dataset.pairs])
    if kind == "pair":
        part = partition.by_pair(label, share, rng)
    else:
        if groups is None:
            groups = near_duplicate_groups(dataset.documents.values())
        cv, jd = (_numbered(dataset, groups, side) for side in SIDES)
        if kind == "official":
            part = _official(dataset, jd, label, share, rng)
        elif kind == "disjoint":
            part = partition.disjoint((cv, jd), label, share, rng)
        else:
            part = partition.grouped(cv if kind == "cv" else jd, label, share, rng)
    indices = [tuple(np.flatnonzero(part == p).tolist()) for p in range(4)]
    split = Split(kind, *indices)
    _refuse_absent_classes(dataset, split)
    return split


def split_summary(
    dataset: Dataset, split: Split, groups: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """What a reader of a table must know about the split.

    For each part: `pairs`, `labels` (name → count), `cvs`, `jds`. Then `discarded` pairs, and
    `test_cvs_in_train`, `test_jds_in_train`: which share of the test's CVs (JDs) also stands in a
    training pair, in [0, 1], 0 for an empty test.

    groups: from `near_duplicate_groups`; then a document whose near-duplicate stands in a training
            pair is counted as standing there, too. None: only the document itself
    """
    groups = {i: i for i in dataset.documents} if groups is None else groups
    found: dict[str, Any] = {"kind": split.kind}
    documents: dict[str, dict[Side, set[str]]] = {}
    for part, indices in split.parts().items():
        pairs = [dataset.pairs[i] for i in indices]
        documents[part] = {side: {getattr(pair, side) for pair in pairs} for side in SIDES}
        found[part] = {
            "pairs": len(pairs),
            "labels": _label_counts(pairs),
            "cvs": len(documents[part]["cv"]),
            "jds": len(documents[part]["jd"]),
        }
    found["discarded"] = len(split.discarded)
    for side in SIDES:
        test, train = documents["test"][side], documents["train"][side]
        known = {groups[i] for i in train}
        found[f"test_{side}s_in_train"] = sum(groups[i] in known for i in test) / max(1, len(test))
    return found


def _label_counts(pairs: Sequence[Pair]) -> dict[str, int]:
    counts = Counter(pair.label for pair in pairs)
    return {name: counts[index] for index, name in enumerate(LABELS)}


def _refuse_absent_classes(dataset: Dataset, split: Split) -> None:
    there = {pair.label for pair in dataset.pairs}
    for part, indices in split.parts().items():
        absent = there - {dataset.pairs[i].label for i in indices}
        if absent:
            what = f"{part} ({len(indices)} pairs) has no pair of class {LABELS[min(absent)]!r}"
            cure = f"choose another seed, larger fractions, or another kind ({', '.join(KINDS)})"
            raise InputError(f"split {split.kind!r} of {dataset.name}", what, cure)


def _numbered(dataset: Dataset, groups: Mapping[str, str], side: Side) -> np.ndarray:
    """[pair] the number of the group that the pair's document of this side is in."""
    return np.unique([groups[getattr(p, side)] for p in dataset.pairs], return_inverse=True)[1]


def _official(
    dataset: Dataset,
    jd: np.ndarray,
    label: np.ndarray,
    share: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    folds = sorted({pair.fold for pair in dataset.pairs})
    if folds != ["test", "train"]:
        what = f"its folds are {folds}, and this split needs 'train' and 'test'"
        cure = "give a folder with train.* and test.* (or test_path), or choose another kind"
        raise InputError(f"split 'official' of {dataset.name}", what, cure)
    part = np.full(len(label), 2)
    train = np.flatnonzero([pair.fold == "train" for pair in dataset.pairs])
    group = np.unique(jd[train], return_inverse=True)[1]
    part[train] = partition.grouped(group, label[train], share[:2] / share[:2].sum(), rng)
    return part
