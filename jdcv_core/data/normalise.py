"""Rows of any source in, one Dataset out: equal texts are one document, pairs are merged. Ours."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NotRequired, TypedDict

from jdcv_core.errors import InputError
from jdcv_core.readable_text import readable
from jdcv_core.types import LABELS, SIDES, Dataset, Document, Pair, Side

ID_DIGITS = 16
"""Hex digits of the SHA-256 in an id: 64 bits. A collision is refused, see `assemble`."""

CONFLICTS_SHOWN = 5


class Row(TypedDict):
    """One labelled pair as read: two texts, and a label that indexes LABELS.

    `fold`, `fit` as in Pair; `origin` as in Document.
    """

    cv: str
    jd: str
    label: int
    fold: NotRequired[str]
    fit: NotRequired[float | None]
    origin: NotRequired[str]


def normalise(text: str) -> str:
    """The text that identity is decided on: repaired, runs of whitespace to one space, stripped.

    Two copies of a text that differ in mojibake, entities or invisible characters only are one
    document; see `readable`. Only ids are made from it. A document keeps its text as it was read.
    """
    return " ".join(readable(text).text.split())


def document_id(side: Side, text: str) -> str:
    """`cv:` or `jd:` and the first ID_DIGITS hex digits of the SHA-256 of the normalised text."""
    return _id(side, _digest(text))


def fingerprint(pairs: Iterable[Pair]) -> str:
    """SHA-256 (hex) over the sorted (CV id, JD id, label, fold): which labelled data this is.

    It depends on the texts through the ids, and not on the order of the pairs.
    """
    lines = sorted(f"{pair.cv}\t{pair.jd}\t{pair.label}\t{pair.fold}\n" for pair in pairs)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def assemble(name: str, rows: Iterable[Row], facts: Mapping[str, Any] | None = None) -> Dataset:
    """Give the documents their ids, merge what is double, drop what contradicts itself.

    A pair that was read several times with one label becomes one pair, in the fold "train" if any
    of them was there. A pair that was read with different labels is dropped, wherever it stood:
    nothing tells which label is right. Pairs are sorted by (JD id, CV id), so the order in which a
    source lists them (often by label) is gone. Where texts of one document differ in whitespace,
    the smallest is kept. Only documents of the pairs that are left are kept.

    name:  of the dataset, for messages and tables
    rows:  one labelled pair each, texts not empty
    facts: more facts about the source; they stand first in the dataset's facts, and its `source`
           stands in messages

    The dataset's facts, beside the given ones: `rows` read; `pairs`, `cvs`, `jds` left;
    `label_counts`; `duplicates_merged` (rows merged away); `merged_across_folds` (pairs that stood
    in more than one fold); `conflicts_dropped` (pairs) and `conflicting_rows` (their rows), with
    the first few in `conflict_rows`; `fingerprint`. It always holds that
    rows = pairs + duplicates_merged + conflicting_rows.

    Raises InputError if no pair is left or if two different texts get the same id, ValueError for
    a label that is no index into LABELS, and if one pair comes with two values of `fit`.
    """
    documents, grouped = _identify(rows)
    pairs, conflicts = [], []
    for (jd, cv), same in sorted(grouped.items()):
        if len({row["label"] for row in same}) > 1:
            conflicts.append(same)
        else:
            pairs.append(_merge(cv, jd, same))
    read = sum(map(len, grouped.values()))
    if not pairs:
        dropped = f" ({len(conflicts)} pairs have conflicting labels)" if conflicts else ""
        where = str((facts or {}).get("source", name))
        raise InputError(where, f"no pair is left of {read} rows{dropped}", "give labelled pairs")
    kept = sorted({pair.cv for pair in pairs} | {pair.jd for pair in pairs})
    contradicting = sum(map(len, conflicts))
    counts = Counter(pair.label for pair in pairs)
    found = {
        "rows": read,
        "pairs": len(pairs),
        "cvs": sum(i.startswith("cv:") for i in kept),
        "jds": sum(i.startswith("jd:") for i in kept),
        "label_counts": {label: counts[index] for index, label in enumerate(LABELS)},
        "duplicates_merged": read - len(pairs) - contradicting,
        "merged_across_folds": _across_folds(grouped, pairs),
        "conflicts_dropped": len(conflicts),
        "conflicting_rows": contradicting,
        "conflict_rows": [_show(same) for same in conflicts[:CONFLICTS_SHOWN]],
        "fingerprint": fingerprint(pairs),
    }
    return Dataset(name, {i: documents[i] for i in kept}, tuple(pairs), {**(facts or {}), **found})


def _digest(text: str) -> str:
    return hashlib.sha256(normalise(text).encode()).hexdigest()


def _id(side: Side, digest: str) -> str:
    return f"{side}:{digest[:ID_DIGITS]}"


def _identify(
    rows: Iterable[Row],
) -> tuple[dict[str, Document], dict[tuple[str, str], list[Row]]]:
    """The documents by id, and the rows by (JD id, CV id)."""
    documents: dict[str, Document] = {}
    grouped: dict[tuple[str, str], list[Row]] = {}
    digests: dict[str, str] = {}  # text → digest: a text recurs in many rows, hash it once
    owner: dict[str, str] = {}  # id → digest: two digests with one id would merge two people
    for row in rows:
        if row["label"] not in range(len(LABELS)):
            raise ValueError(f"{row.get('origin')}: the label {row['label']} is not 0 to 2")
        ids: dict[Side, str] = {}
        for side in SIDES:
            text, origin = row[side], row.get("origin", "")
            if text not in digests:
                digests[text] = _digest(text)
            digest = digests[text]
            ids[side] = _id(side, digest)
            if owner.setdefault(ids[side], digest) != digest:
                what = f"its {side.upper()} and another text have the same id {ids[side]}"
                cure = "raise ID_DIGITS in jdcv_core/data/normalise.py"
                raise InputError(origin or "a row", what, cure)
            known = documents.get(ids[side])
            if known is None or text < known.text:
                documents[ids[side]] = Document(ids[side], text, origin)
        grouped.setdefault((ids["jd"], ids["cv"]), []).append(row)
    return documents, grouped


def _merge(cv: str, jd: str, same: Sequence[Row]) -> Pair:
    fits = {fit for row in same if (fit := row.get("fit")) is not None}
    if len(fits) > 1:
        raise ValueError(f"the pair {cv}, {jd} comes with several values of fit: {sorted(fits)}")
    folds = {row.get("fold", "") for row in same}
    fold = "train" if "train" in folds else min(folds)
    return Pair(cv, jd, same[0]["label"], fold, next(iter(fits), None))


def _across_folds(grouped: Mapping[tuple[str, str], Sequence[Row]], pairs: Sequence[Pair]) -> int:
    return sum(
        len({row.get("fold", "") for row in grouped[pair.jd, pair.cv]}) > 1 for pair in pairs
    )


def _show(same: Sequence[Row]) -> str:
    """`pairs.csv, row 7: No Fit; pairs.csv, row 9: Good Fit`."""
    return "; ".join(f"{row.get('origin', '')}: {LABELS[row['label']]}" for row in same)
