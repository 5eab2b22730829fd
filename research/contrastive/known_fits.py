"""Choose the anchors, candidates, positives and exclusions of a batch from the known labels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from jdcv_core.evaluation.classification import GOOD, NO
from jdcv_core.types import Pair


@dataclass(frozen=True)
class Contrast:
    """The comparisons of one batch, over rows of a matrix of representations.

    anchor:    int [anchor], row numbers
    candidate: int [candidate], row numbers
    positive:  int [positive 2], positions in `anchor` and in `candidate` of the positive pairs
    weight:    float [positive], weights of the positive pairs, above 0
    excluded:  int [excluded 2], sorted positions of the pairs that are not negatives: positive
               pairs, a row with itself, and pairs that are known or suspected to match

    Every candidate that is not excluded for an anchor is a negative of it.
    """

    anchor: Tensor
    candidate: Tensor
    positive: Tensor
    weight: Tensor
    excluded: Tensor

    @classmethod
    def of(
        cls,
        anchor: Sequence[int],
        candidate: Sequence[int],
        positive: Sequence[tuple[int, int]],
        weight: Sequence[float],
        excluded: Iterable[tuple[int, int]] = (),
    ) -> Contrast:
        """Make a contrast from row numbers.

        anchor, candidate:  each row at most once in each of the two
        positive, excluded: pairs (row of an anchor, row of a candidate). Positive pairs, and pairs
                            of a row with itself, need not be listed in `excluded`

        Raises ValueError for a row that appears twice and for a positive pair of a row with itself.
        Raises KeyError for a positive pair whose rows are not an anchor and a candidate. Excluded
        pairs of other rows are ignored.
        """
        at = {row: place for place, row in enumerate(anchor)}
        of = {row: place for place, row in enumerate(candidate)}
        if len(at) != len(anchor) or len(of) != len(candidate):
            raise ValueError("a row appears twice among the anchors or among the candidates")
        if any(i == j for i, j in positive):
            raise ValueError("a row cannot be a positive of itself")
        never = {(at[i], of[j]) for i, j in positive}
        never |= {(at[i], of[j]) for i, j in excluded if i in at and j in of}
        never |= {(at[row], of[row]) for row in at if row in of}
        return cls(
            torch.tensor(anchor, dtype=torch.long),
            torch.tensor(candidate, dtype=torch.long),
            _pairs([(at[i], of[j]) for i, j in positive]),
            torch.tensor(weight, dtype=torch.float32),
            _pairs(sorted(never)),
        )

    def to(self, device: torch.device | str) -> Contrast:
        return Contrast(*(getattr(self, name).to(device) for name in self.__dataclass_fields__))


class PairGraph:
    """The labels of all known pairs, and the groups of near-duplicate documents.

    pairs:  labelled pairs that training may use; positives that are not in a batch count, too
    groups: document id → its group, from `near_duplicates.near_duplicate_groups`. A label of a
            document applies to its near-duplicates. None: each document is a group
    """

    def __init__(self, pairs: Sequence[Pair], groups: Mapping[str, str] | None = None) -> None:
        self.groups = groups
        self.fits: dict[str, dict[str, int]] = {}
        """Group of a JD → groups of CVs that fit it at least in part → the highest label."""
        for pair in pairs:
            if pair.label != NO:
                own = self.fits.setdefault(self.group(pair.jd), {})
                cv = self.group(pair.cv)
                own[cv] = max(pair.label, own.get(cv, NO))

    def group(self, document: str) -> str:
        return document if self.groups is None else self.groups[document]


def match_contrast(
    graph: PairGraph,
    documents: Sequence[str],
    anchors: str = "jd",
    potential: float | None = None,
) -> Contrast:
    """Make the contrast of a batch of documents: each JD with its CVs, or each CV with its JDs.

    graph:     known labels and groups
    documents: ids, each once; row i of the representations is documents[i]
    anchors:   "jd" (JD→CV) or "cv" (CV→JD); the candidates are the other side
    potential: weight of a Potential Fit as a positive, where a Good Fit has 1 (supervised
               contrastive; 0.5 corresponds to its target). None or 0: a Potential Fit is neither
               positive nor negative

    The Good Fits among the documents of the batch are positives. All other candidates are
    negatives, whether they are labelled No Fit or have no label, except known Good and Potential
    Fits and their near-duplicates. A CV that is labelled No Fit becomes a hard negative if its
    document is added to the batch.
    Raises ValueError for an id that appears twice and for an unknown name of a side.
    """
    if anchors not in ("jd", "cv"):
        raise ValueError(f"anchors must be 'jd' or 'cv', got {anchors!r}")
    if len(set(documents)) != len(documents):
        raise ValueError("a document appears twice in the batch")
    rows: dict[str, list[int]] = {"jd": [], "cv": []}
    members: dict[str, list[int]] = {}
    for row, document in enumerate(documents):
        rows[document.partition(":")[0]].append(row)
        members.setdefault(graph.group(document), []).append(row)
    positive, weight, excluded = [], [], []
    for i in rows["jd"]:
        for cv, label in graph.fits.get(graph.group(documents[i]), {}).items():
            share = 1.0 if label == GOOD else potential or 0.0
            for k in members.get(cv, []):
                pair = (i, k) if anchors == "jd" else (k, i)
                excluded.append(pair)
                if share > 0:
                    positive.append(pair)
                    weight.append(share)
    other = "cv" if anchors == "jd" else "jd"
    return Contrast.of(rows[anchors], rows[other], positive, weight, excluded)


def views_of(count: int, groups: Sequence[str] | None = None) -> Contrast:
    """Make the contrast of two views of `count` items: rows i and i + count match (NT-Xent).

    All 2 `count` rows are anchors and candidates. groups: the group of each item. Views of items of
    one group (such as near-duplicates) are not negatives of each other. None: each item is a group.
    """
    rows = list(range(2 * count))
    positive = [(i, (i + count) % (2 * count)) for i in rows]
    excluded = []
    if groups is not None:
        if len(groups) != count:
            raise ValueError(f"{len(groups)} groups for {count} items")
        members: dict[str, list[int]] = {}
        for row in rows:
            members.setdefault(groups[row % count], []).append(row)
        excluded = [(i, j) for own in members.values() for i in own for j in own]
    return Contrast.of(rows, rows, positive, [1.0] * len(rows), excluded)


def _pairs(pairs: Sequence[tuple[int, int]]) -> Tensor:
    return torch.tensor(pairs, dtype=torch.long).reshape(-1, 2)
