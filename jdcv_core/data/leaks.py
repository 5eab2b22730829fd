"""The leak check: a split must not share what its kind promises not to share. Ours."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

from jdcv_core.data.splits import NEVER_SHARED, PARTS, Split
from jdcv_core.errors import InputError
from jdcv_core.types import Dataset


def check_leaks(dataset: Dataset, split: Split, groups: Mapping[str, str]) -> None:
    """Refuse a split that shares what its kind promises not to share. Run before any training.

    No kind shares a pair between two parts. `cv` shares no group of CVs, `jd` none of JDs,
    `disjoint` neither. The check looks at nothing but the pairs of each part and the groups, so
    that it also finds mistakes of `make_split`.

    groups: document id → its group, from `near_duplicate_groups`

    Raises InputError that names the two parts and one of the shared documents, KeyError for a
    document without a group.
    """
    pairs = {part: [dataset.pairs[i] for i in indices] for part, indices in split.parts().items()}
    for one, other in combinations(PARTS, 2):
        shared = {(p.cv, p.jd) for p in pairs[one]} & {(p.cv, p.jd) for p in pairs[other]}
        if shared:
            _leak(split, one, other, f"{len(shared)} pairs, as {min(shared)}")
        for side in NEVER_SHARED.get(split.kind, ()):
            seen = {groups[getattr(p, side)] for p in pairs[one]}
            both = seen & {groups[getattr(p, side)] for p in pairs[other]}
            if both:
                what = f"{len(both)} {side.upper()}s or near-duplicates of them, as {min(both)}"
                _leak(split, one, other, what)


def _leak(split: Split, one: str, other: str, what: str) -> None:
    cure = "make the split again, or choose a kind that allows it (pair, official)"
    raise InputError(f"split {split.kind!r}", f"{one} and {other} share {what}", cure)
