"""Who is compared with whom: anchors, candidates, positives, and what must never be a negative."""

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

    anchor:    int [anchor], rows
    candidate: int [candidate], rows
    positive:  int [positive 2], places in `anchor` and in `candidate`: pairs drawn together
    weight:    float [positive], above 0
    excluded:  int [excluded 2], places that are no negatives of each other, sorted: positives, the
               anchor itself, and whatever is known or suspected to belong together

    A candidate that is not excluded is a negative of the anchor.
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
        """From rows: positive and excluded are pairs (row of an anchor, row of a candidate).

        Each row at most once among the anchors and once among the candidates. Positives, and a row
        beside itself, are excluded without being named.
        Raises ValueError for a row that comes twice and for a positive with itself, KeyError for
        a positive whose row is no anchor or no candidate; excluded pairs of other rows are nothing
        to this batch.
        """
        at = {row: place for place, row in enumerate(anchor)}
        of = {row: place for place, row in enumerate(candidate)}
        if len(at) != len(anchor) or len(of) != len(candidate):
            raise ValueError("a row comes twice among the anchors or among the candidates")
        if any(i == j for i, j in positive):
            raise ValueError("a row cannot be drawn to itself")
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
    """The labels of all known pairs, and the groups of documents that are the same.

    pairs:  labelled pairs that training may use. All positives among them count, those that are
            not in the batch at hand, too
    groups: document id → its group, from `near_duplicates.near_duplicate_groups`: what holds of one
            document holds of its near-duplicates. None: each document is its own
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
    """A batch of documents, each once: JDs look for their CVs, or CVs for their JDs.

    graph:     what is known of all pairs
    documents: ids; row i of the representations is documents[i]
    anchors:   "jd" (JD→CV) or "cv" (CV→JD); the candidates are the other side
    potential: weight of a Potential Fit as a positive, a Good Fit has 1 (supervised contrastive by
               label; 0.5 lies between, as its target does); None or 0: it is neither positive nor
               negative

    Positives are the Good Fits among the documents of the batch. Negatives are all other
    candidates, labelled No Fit or unknown, but never a known Good or Potential Fit, and never a
    near-duplicate of one. A labelled No Fit is a negative like any other; put its document into the
    batch and it is a hard one.
    Raises ValueError for an id that comes twice or another name of a side.
    """
    if anchors not in ("jd", "cv"):
        raise ValueError(f"anchors must be 'jd' or 'cv', got {anchors!r}")
    if len(set(documents)) != len(documents):
        raise ValueError("a document comes twice in the batch")
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
    """Two views each of `count` things: row i and row i + count belong together (NT-Xent).

    All 2 `count` rows are anchors and candidates. groups: of each thing; views of things of one
    group are no negatives of each other, as two spans of one document are not. None: each its own.
    """
    rows = list(range(2 * count))
    positive = [(i, (i + count) % (2 * count)) for i in rows]
    excluded = []
    if groups is not None:
        if len(groups) != count:
            raise ValueError(f"{len(groups)} groups for {count} things")
        members: dict[str, list[int]] = {}
        for row in rows:
            members.setdefault(groups[row % count], []).append(row)
        excluded = [(i, j) for own in members.values() for i in own for j in own]
    return Contrast.of(rows, rows, positive, [1.0] * len(rows), excluded)


def _pairs(pairs: Sequence[tuple[int, int]]) -> Tensor:
    return torch.tensor(pairs, dtype=torch.long).reshape(-1, 2)
