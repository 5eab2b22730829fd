"""Show the results of a retrieval experiment: matches, and tables of systems and index types."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console

from experiments.report.table import labels_note
from jdcv_core.evaluation.formats import interval, short, shortened, with_spread
from jdcv_core.evaluation.metrics import SEARCH
from research.retrieval.compare_index_types import Measured
from research.retrieval.matches import SHOWN, Match
from research.retrieval.pareto import pareto, recommend

AIM = 0.98
"""Smallest recall (of exact MaxSim's best documents) of a setting that is recommended."""


def example(name: str, text: str, matches: Sequence[Match]) -> dict[str, Any]:
    """Describe a JD and the CVs that were found for it as plain values."""
    return {
        "jd": name,
        "text": shortened(text, SHOWN),
        "matches": [match.as_dict() for match in matches],
    }


def show_example(name: str, text: str, matches: Sequence[Match]) -> None:
    """Print a JD and the CVs that were found for it."""
    ranked = [f"{place:>3}. {match}" for place, match in enumerate(matches, start=1)]
    lines = "\n".join([f"{name}: {shortened(text, SHOWN)}", *ranked, ""])
    Console().print(lines, markup=False, highlight=False, soft_wrap=True)


def markdown(table: Mapping[str, Any], facts: Mapping[str, Any], seeds: int) -> str:
    """Format the table of systems as Markdown, with notes about the judgements."""
    pools = sorted(facts["judged"].values())
    metrics = list(SEARCH)
    head = ["", *SEARCH.values()]
    rows = [
        [name, *(with_spread(by[m]["mean"], by[m]["sd"]) for m in metrics)]
        for name, by in table.items()
    ]
    against = [m for m in metrics if m != "judged"]
    bases = dict.fromkeys(base for by in table.values() for base in by["ndcg"]["against"])
    differences: list[str] = []
    for base in bases:
        second = [
            [name, *(_interval(by[m]["against"][base]) for m in against)]
            for name, by in table.items()
            if name != base
        ]
        title = [f"against {base}", *(SEARCH[m] for m in against)]
        differences += ["", *_grid(title, second)]
    notes = [
        f"- {facts['cvs']} CVs, {facts['chunks']} chunks; judged CVs a JD: {pools[0]} to "
        f"{pools[-1]}, median {pools[len(pools) // 2]}. A CV without a judgement counts as no fit.",
        f"- Mean ± sample standard deviation over {seeds} seeds, on test JDs. MAP, MRR and recall: "
        "Good Fits; nDCG: linear gain. A trained row orders the 200 best of TF-IDF + MaxSim; the "
        "others are not in its ranking.",
        "- Differences with 95% intervals over JDs and seeds, not corrected for their number.",
    ]
    if note := labels_note(facts["data"]):
        notes.insert(1, f"- {note}")
    return "\n".join([*notes, "", *_grid(head, rows), *differences, ""])


def types_markdown(measured: Sequence[Measured], k: int, documents: int) -> str:
    """Format the best setting of each index type, and the recommended setting, as Markdown."""
    head = ["index type", f"recall@{k}", "queries/s", "p50 ms", "p99 ms", "bytes/vector", "build s",
            "lists", "candidates"]  # fmt: skip
    rows = []
    for index_type in dict.fromkeys(m.index_type for m in measured):
        m = taken([m for m in measured if m.index_type == index_type])
        timings = (f"{m.per_second:,.0f}", f"{m.p50_ms:.1f}", f"{m.p99_ms:.1f}")
        costs = (f"{m.bytes_per_vector:,.0f}", f"{m.build_seconds:.1f}")
        setting = (str(m.depth.effort or ""), str(m.depth.depth))
        rows.append([index_type, short(m.recall), *timings, *costs, *setting])
    points = [m.point for m in measured]
    front = "; ".join(
        f"{p.name} ({short(p.recall)}, {p.per_second:,.0f}/s)" for p in pareto(points)
    )
    notes = [
        f"Index types over {documents:,} CVs, with sequential queries. Recall: share of the {k} "
        f"best of exact MaxSim. {len(measured)} settings were measured; the table shows for each "
        f"type the fastest setting with recall {AIM}, or the one with the highest recall.",
        "",
        *_grid(head, rows),
        "",
        f"Pareto front: {front}.",
        f"For {documents:,} CVs on this machine: {recommend(points, AIM)}",
    ]
    return "\n".join([*notes, ""])


def taken(measured: Sequence[Measured]) -> Measured:
    """Return the setting that `recommend` chooses."""
    names = [m.point.name for m in measured]
    return measured[names.index(recommend([m.point for m in measured], AIM).point.name)]


def _grid(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)]


def _interval(found: Mapping[str, float]) -> str:
    return interval(found["difference"], found["low"], found["high"])
