"""The sweep of the demo corpus, the measured protocol, and the ceilings of noisy labels."""

from __future__ import annotations

from collections.abc import Sequence

from jdcv_core.evaluation.formats import short
from papers.blocks import Block, figure, heading, paragraph, table
from papers.evidence import Ablation, Json
from papers.wording import FOREST, KINDS, listed


def sweep_of(sweep: Sequence[Json]) -> list[Block]:
    keys = [key.rpartition(".")[2].replace("_", " ") for key in sweep[0]["sweep"]]
    names = [r["name"] for r in sweep[0]["rows"] if r["kind"] == "variant" and r["against"]]
    cells, rows = [], []
    for metric in FOREST:
        mine = [
            [_against(point, name, metric) for point in sweep] for name in names
        ]  # fmt: skip
        cells.append(mine)
    for at, point in enumerate(sweep):
        winners = []
        for m in range(len(FOREST)):
            best = max(range(len(names)), key=lambda n: _or_least(cells[m][n][at]["value"]))
            value, verdict = cells[m][best][at]["value"], cells[m][best][at]["verdict"]
            if _or_least(value) <= 0:
                winners.append(sweep[0]["baseline"])
            else:
                tie = "" if verdict == "better" else "  tie"
                winners.append(f"{names[best]} {short(value, sign=True)}{tie}")
        rows.append([", ".join(f"{v:g}" for v in point["sweep"].values()), *winners])
    seeds = len(sweep[0]["seeds"])
    encoder = sweep[0].get("encoder", "gpt2-micro")
    return [
        heading(2, "Which scorer wins where"),
        paragraph(
            f"The demo corpus with its knobs turned: {listed(keys)}. {encoder}, {seeds} seeds, "
            f"split {KINDS[sweep[0]['main_split']]}; each point is an experiment of its own with "
            "its own Holm correction."
        ),
        figure(
            "sweep",
            "heat",
            {
                "names": names,
                "metrics": list(FOREST.values()),
                "cells": cells,
                "points": ["\n".join(f"{v:g}" for v in p["sweep"].values()) for p in sweep],
            },
            f"**Difference to {sweep[0]['baseline']}** at every point; below each column "
            f"{listed(keys)}, from top to bottom. Blue: higher, red: lower; + and − where it is "
            "no tie; framed: the best of a point.",
        ),
        table(
            f"**The best variant at every point** ({', '.join(keys)}).",
            [", ".join(keys), *FOREST.values()],
            rows,
        ),
    ]  # fmt: skip


def _against(point: Json, name: str, metric: str) -> Json:
    row = next(r for r in point["rows"] if r["name"] == name)
    found = row["against"][point["main_split"]][metric]
    return {"value": found["difference"], "verdict": found["verdict"]}


def _or_least(value: float | None) -> float:
    return -1.0 if value is None else value


def protocol(found: Json) -> list[Block]:
    by_metric = found["tables_by_metric"]
    names = {"weighted_f1": "weighted F1", "auc_good": "AUC", "auc_within_cv": "AUC in CV",
             "ndcg": "nDCG@10"}  # fmt: skip
    worlds = found["coverage_by_world"]
    metrics = list(next(iter(worlds.values())))
    return [
        heading(2, "Can the protocol be believed?"),
        paragraph(
            f"Simulated tables of trained scorers ({found['tables']} of them, 5 seeds each) hold "
            "three rows that are no better than the baseline and two that are, by construction. "
            "The protocol calls one of the three better or worse in weighted F1 in "
            f"**{found['false_positive_rate']:.1%}** of the tables (it promises at most 5%; the "
            f"error of this figure at 5% is {found['false_positive_rate_error']:.1%}). It finds "
            f"the strong planted effect in {found['planted_found']:.1%} and the weak one in "
            f"{found['weak_planted_found']:.1%} of the tables. In simulated worlds of known truth, "
            f"{found['cases']:,} cases each, the 95% interval with 5 or 10 seeds holds the truth "
            f"in {found['coverage']:.1%} to {found['coverage_highest']:.1%} of the cases (error "
            f"{found['coverage_error']:.1%}). Command: `python benchmarks/statistics.py`."
        ),
        table(
            "**Simulated tables.** Share of tables with a false positive among three null rows, "
            "share of null rows called better or worse, share of null rows whose interval "
            "excludes 0, and share of tables that find the planted effects.",
            ["metric", "false positives", "per comparison", "interval excludes 0", "weak found",
             "strong found"],
            [
                [names.get(metric, metric), *(
                    f"{shares[key]:.1%}"
                    for key in ("false_positives", "false_per_comparison", "interval_excludes_0",
                                "weak", "strong")
                )]
                for metric, shares in by_metric.items()
            ],
        ),
        table(
            "**Coverage** of the 95% interval. A world has so many seeds and JDs; seeds vary by so "
            "many times what their JDs explain.",
            ["world", *(names.get(m, m) for m in metrics)],
            [[world, *(f"{shares[m]:.1%}" for m in metrics)] for world, shares in worlds.items()],
        ),
    ]  # fmt: skip


def ceilings(ablations: list[Ablation]) -> list[Block]:
    rows = []
    seen = set()
    for ablation in ablations:
        data = ablation.facts["data"]
        if data["fingerprint"] in seen:
            continue
        seen.add(data["fingerprint"])
        ceilings = ablation.table["noise_ceiling"]
        for metric in ("macro_f1", "accuracy"):
            name = {"macro_f1": "macro-F1", "accuracy": "accuracy"}[metric]
            which = "demo corpus" if data["name"] == "demo" else "real pairs"
            rows.append([f"{which}, {name}", *(short(c[metric]) for c in ceilings.values())])
    head = list(ablations[0].table["noise_ceiling"])
    return [
        heading(2, "What noisy labels allow"),
        paragraph(
            "Labels are made by people or rules that err. If a label is the truth in a given share "
            "of pairs and else drawn from the other classes, no model can show more than this on "
            "many pairs, however good it is. A published figure above it says that the labels were "
            "learnt, errors included, or that the test was seen."
        ),
        table(
            "**The best figure that any model could show**, by the share of labels that are the "
            "truth, for the classes of the test pairs.",
            ["labels that are the truth", *head],
            rows,
        ),
    ]
