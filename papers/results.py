"""One experiment: what it can show, its tables and its figures."""

from __future__ import annotations

from jdcv_core.evaluation.formats import difference, interval, short, sign, undefined, with_spread
from papers.blocks import Block, figure, heading, paragraph, table
from papers.evidence import Ablation, Json
from papers.wording import FOREST, KINDS, capital, compared, span, title, verdicts

MAIN = (
    "weighted_f1", "macro_f1", "f1_no", "f1_potential", "f1_good", "qwk", "distant", "auc_good",
    "auc_within_cv", "ndcg",
)  # fmt: skip
RANKING = ("map", "mrr", "recall", "precision", "judged", "k", "brier", "ece")
SIDE_BY_SIDE = ("weighted_f1", "auc_good", "auc_within_cv", "ndcg")


def results(ablation: Ablation) -> list[Block]:
    split = ablation.table["main_split"]
    found = [heading(2, f"Results: {title(ablation)}")]
    if ablation.equal_parameters:
        counts = [r["parameters"] for r in ablation.table["rows"] if r["parameters"]]
        found.append(
            paragraph(
                "Every scorer is widened by one residual layer to the parameters of the largest, "
                f"so that all have {min(counts):,} to {max(counts):,}. A row that is better here "
                "is not better by its number of weights alone."
            )
        )
    if ablation.other_baseline:
        found.append(
            paragraph(
                "The same trained cells, each compared with another row than the mean over chunk "
                "pairs."
            )
        )
    found += [paragraph(_can_show(ablation)), _forest(ablation), _differences(ablation, split)]
    if ablation.brief:
        return found
    found += [_figures(ablation, split), _beside(ablation), _second(ablation, split)]
    return [*found, _reliability(ablation), *_attribution(ablation)]


def _can_show(ablation: Ablation) -> str:
    """What this sample can and cannot show."""
    split = ablation.table["main_split"]
    seeds = list(ablation.kind(split).values())
    smallest = ablation.table["detectable"][split]
    jds, good = (
        span([s["test"]["jds"] for s in seeds]),
        span([s["test"]["labels"]["Good Fit"] for s in seeds]),
    )
    found = {m: verdicts(ablation, split, m) for m in FOREST}
    ties = ", ".join(f"{len(found[m]['tie'])} in {FOREST[m]}" for m in FOREST)
    sizes = ", ".join(f"{short(smallest[m])} in {FOREST[m]}" for m in FOREST)
    single = ablation.facts["encodings"][0]
    ones = sum(single["chunk_counts"][s]["of_one_chunk"] for s in ("cv", "jd"))
    few = (
        f" {ones} of {single['documents']} documents have one chunk, and on those all ways to put "
        "chunks together are one."
        if ones > 0.25 * single["documents"]
        else ""
    )
    most = max(
        (
            abs(row["against"][split]["auc_good"]["difference"] or 0)
            for row in compared(ablation)
        ),
        default=0.0,
    )  # fmt: skip
    power = (
        "So what is called better or worse here is large enough to be seen, and a smaller "
        "difference may hide among the ties."
        if any(found[m]["better"] or found[m]["worse"] for m in FOREST)
        else "So this sample shows no difference at all between the variants, and it could not "
        "have shown one of a realistic size: a tie here is no sign that two rows are equal."
    )
    return (
        f"**What this sample can and cannot show.** A test set {KINDS[split]} has {jds} JDs and "
        f"{good} Good Fit. With {len(ablation.table['seeds'])} seeds the smallest difference that "
        f"would be found with 80% power, after Holm's correction, is {sizes} (median of the "
        f"variants); the largest difference in AUC that was seen is {short(most)}. Ties: {ties}, "
        f"of {len(compared(ablation))} variants each. {power}{few}"
    )


def _forest(ablation: Ablation) -> Block:
    split = ablation.table["main_split"]
    rows = [
        r for r in ablation.table["rows"] if r["against"] and r["kind"] in ("variant", "falsifier")
    ]
    cells: list[list[Json | None]] = [
        [_cell(row["against"][split][metric]) for metric in FOREST] for row in rows
    ]
    ranges = []
    for column in zip(*cells, strict=True):
        ends = [x for c in column if c for x in (c["value"] - 0.01, c["value"] + 0.01)]
        ends += [x for c in column if c for x in (c["low"], c["high"])]
        low, high = max(-0.6, min([0.0, *ends])), min(0.6, max([0.0, *ends]))
        step = next((s for s in (0.02, 0.05, 0.1, 0.2) if (high - low) / s <= 7), 0.2)
        ranges.append([low, high, step])
    return figure(
        f"{ablation.name}-differences",
        "forest",
        {
            "metrics": list(FOREST.values()),
            "ranges": ranges,
            "rows": [
                {"name": row["name"], "kind": row["kind"], "cells": own}
                for row, own in zip(rows, cells, strict=True)
            ],
        },
        f"**{capital(title(ablation))}, split {KINDS[split]}: difference to the baseline** with "
        "95% intervals. Blue: better, red: worse, grey: tie; pale: falsifiers. Intervals are cut "
        "off at ±.6.",
    )  # fmt: skip


def _cell(found: Json) -> Json | None:
    if undefined(found["difference"]) or undefined(found["low"]):
        return None
    return {
        "value": found["difference"], "low": found["low"], "high": found["high"],
        "verdict": found["verdict"],
    }  # fmt: skip


def _figures(ablation: Ablation, split: str) -> Block:
    metrics = ablation.table["metrics"]
    rows = [
        [
            row["name"],
            *(_mean(row, split, m) for m in MAIN),
            "" if row["train_seconds"] is None else f"{row['train_seconds']:.1f}",
            "" if row["parameters"] is None else f"{row['parameters']:,}",
        ]
        for row in ablation.table["rows"]
    ]
    return table(
        f"**Test figures**, split {KINDS[split]}. train s: seconds of training a seed; trained: "
        "numbers that it changed.",
        ["", *(metrics[m]["heading"] for m in MAIN), "train s", "trained"],
        rows,
        _baseline(ablation),
    )


def _differences(ablation: Ablation, split: str) -> Block:
    metrics, shown = ablation.table["metrics"], ablation.table["compared"]
    rows = [
        [row["name"], *(difference(row["against"][split][m]) for m in shown)]
        for row in ablation.table["rows"]
        if row["against"] is not None
    ]
    return table(
        f"**Against the baseline** ({ablation.table['baseline']}), split {KINDS[split]}.",
        ["", *(metrics[m]["heading"] for m in shown)],
        rows,
    )


def _beside(ablation: Ablation) -> Block:
    metrics, splits = ablation.table["metrics"], ablation.table["splits"]
    shown = [m for m in SIDE_BY_SIDE if m in ablation.table["compared"]]
    rows = []
    for row in ablation.table["rows"]:
        cells = []
        for metric in shown:
            for split in splits:
                value = short(row["figures"][split][metric]["mean"])
                against = sign(row["against"][split][metric]) if row["against"] else ""
                cells.append(f"{value} {against}".rstrip())
        rows.append([row["name"], *cells])
    return table(
        "**Splits side by side.** + better, - worse, = tie, each against the baseline of the same "
        "split.",
        ["", *(f"{metrics[m]['heading']} {s}" for m in shown for s in splits)],
        rows,
        _baseline(ablation),
    )


def _second(ablation: Ablation, split: str) -> Block:
    metrics = ablation.table["metrics"]
    rows = [
        [row["name"], *(_mean(row, split, m) for m in RANKING)] for row in ablation.table["rows"]
    ]
    return table(
        f"**Ranking and calibration**, split {KINDS[split]}. A JD's pool is its test pairs, all of "
        "them judged.",
        ["", *(metrics[m]["heading"] for m in RANKING)],
        rows,
        _baseline(ablation),
    )


def _reliability(ablation: Ablation) -> Block:
    curves = ablation.table["reliability"]
    rows = [r["name"] for r in ablation.table["rows"] if r["kind"] in ("variant", "ceiling")]
    return figure(
        f"{ablation.name}-reliability",
        "reliability",
        {
            "panels": [
                {"name": name, "score": curves[name]["score"], "target": curves[name]["target"]}
                for name in rows
                if name in curves
            ]
        },
        f"**{capital(title(ablation))}: reliability.** Mean target (0, .5, 1; upwards) against "
        "mean score (to the right) in ten bins of equal mass, all seeds together; a score that "
        "means what it says lies on the dashed line.",
    )


def _attribution(ablation: Ablation) -> list[Block]:
    rows = [r for r in ablation.table["rows"] if r["faithfulness"]]
    if not rows:
        return []
    methods = list(dict.fromkeys(m for r in rows for m in r["faithfulness"]))
    cells = []
    for row in rows:
        found = [row["faithfulness"].get(m) for m in methods]
        cells.append(
            [
                row["name"],
                *(
                    interval(f["against_random"], f["low"], f["high"]) if f else "n/a"
                    for f in found
                ),
            ]
        )
    return [
        table(
            "**Attribution.** How much faster the score falls when CV chunks are deleted in the "
            "order of an attribution than in random order (area over the deletion curve, mean "
            "over the pairs and seeds; ends of intervals are means over seeds). Above 0 the "
            "attribution knows which chunks carried the score; `random` is the control.",
            ["", *(m.replace("_", " ") for m in methods)],
            cells,
        )
    ]


def _mean(row: Json, split: str, metric: str) -> str:
    found = row["figures"][split][metric]
    if metric == "k":
        return f"{found['mean']:g}" if not undefined(found["mean"]) else "n/a"
    return with_spread(found["mean"], found["sd"])


def _baseline(ablation: Ablation) -> list[int]:
    names = [row["name"] for row in ablation.table["rows"]]
    return [names.index(ablation.table["baseline"])]
