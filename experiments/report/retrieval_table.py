"""What a search and a retrieval experiment show: matches with chunk pairs and experiences, and the
table of systems."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console

from experiments.report.formats import interval, short, with_spread
from research.experience.parsing import parse_cv
from research.retrieval.compare_index_types import Measured
from research.retrieval.index_folder import IndexFolder
from research.retrieval.pareto import pareto, recommend
from research.retrieval.search import Candidate

SHOWN = 160
"""Characters of a chunk that are shown."""
AIM = 0.98
"""Recall of exact MaxSim's best that a recommended setting has."""
HEADINGS = {
    "ndcg": "nDCG@10",
    "map": "MAP",
    "mrr": "MRR",
    "recall": "recall@10",
    "judged": "judged@10",
}


def as_plain(
    match: Candidate, corpus: IndexFolder, text: str, spans: Sequence[tuple[int, int]]
) -> dict[str, Any]:
    """A match with what was matched: pieces of text, and the CV's experiences they lie in.

    text, spans: of the query and its chunks
    """
    document = corpus.entry(match.document)
    if corpus.settings.get("side", "cv") == "cv":
        cv, matched = document.text, [document.spans[k] for _, k, _ in match.pairs]
    else:
        cv, matched = text, [spans[i] for i, _, _ in match.pairs]
    experiences = [
        f"{e.title or 'experience'} ({cv[e.dates.at : e.dates.to]})"
        for e in parse_cv(cv).experiences
        if any(e.start < end and start < e.end for start, end in matched)
    ]
    return {
        "id": match.id,
        "score": match.score,
        "maxsim": match.maxsim,
        "pairs": [
            {
                "cosine": cosine,
                "query": _piece(text, spans[i]),
                "document": _piece(document.text, document.spans[k]),
            }
            for i, k, cosine in match.pairs
        ],
        "experiences": experiences,
    }


def lines(matches: Sequence[Mapping[str, Any]]) -> list[str]:
    """Matches of `as_plain` as lines of text, best first."""
    found = []
    for place, match in enumerate(matches, start=1):
        found.append(f"{place:>3}. {match['id']}  score {match['score']:.4f}")
        found += [
            f"     {pair['cosine']:.3f}  {pair['query']}  ↔  {pair['document']}"
            for pair in match["pairs"]
        ]
        found += [f"     {experience}" for experience in match["experiences"]]
    return found


def example(
    corpus: IndexFolder,
    text: str,
    spans: Sequence[tuple[int, int]],
    found: Sequence[Candidate],
    name: str,
) -> dict[str, Any]:
    """A JD and the CVs found for it, as plain values."""
    matches = [as_plain(match, corpus, text, spans) for match in found]
    return {"jd": name, "text": _piece(text, (0, len(text))), "matches": matches}


def show_examples(shown: Sequence[Mapping[str, Any]]) -> None:
    """Some JDs with their best CVs, on the terminal."""
    console = Console()
    for one in shown:
        text = "\n".join([f"{one['jd']}: {one['text']}", *lines(one["matches"]), ""])
        console.print(text, markup=False, highlight=False, soft_wrap=True)


def as_json(content: Any) -> str:
    return json.dumps(content, indent=1, ensure_ascii=False)


def markdown(table: Mapping[str, Any], facts: Mapping[str, Any], seeds: int) -> str:
    """The table of systems, with what a reader must know of the judgements."""
    pools = sorted(facts["judged"].values())
    metrics = list(HEADINGS)
    head = ["", *HEADINGS.values()]
    rows = [
        [name, *(with_spread(by[m]["mean"], by[m]["sd"]) for m in metrics)]
        for name, by in table.items()
    ]
    against = [m for m in metrics if m != "judged"]
    second = [
        [name, *(_interval(by[m]["against"]) for m in against)]
        for name, by in table.items()
        if "against" in by["ndcg"]
    ]
    notes = [
        f"- {facts['cvs']} CVs, {facts['chunks']} chunks; judged CVs a JD: {pools[0]} to "
        f"{pools[-1]}, median {pools[len(pools) // 2]}. A CV without a judgement counts as no fit.",
        f"- Mean ± sample standard deviation over {seeds} seeds, on test JDs. MAP, MRR and recall: "
        "Good Fits; nDCG: linear gain. A trained row ranks the 200 best of MaxSim anew; the others "
        "are not in its ranking.",
        "- Differences with 95% intervals over JDs and seeds, not corrected for their number.",
    ]
    title = ["against the first stage", *(HEADINGS[m] for m in against)]
    return "\n".join([*notes, "", *_grid(head, rows), "", *_grid(title, second), ""])


def types_markdown(measured: Sequence[Measured], k: int, documents: int) -> str:
    """Of each index type the setting to take, and the one to take among all."""
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
        f"Index types over {documents:,} CVs, one query after the other. Recall: of exact MaxSim's "
        f"{k} best. {len(measured)} settings were measured; of each type stands the fastest with "
        f"{AIM}, else the best.",
        "",
        *_grid(head, rows),
        "",
        f"Pareto front: {front}.",
        f"For {documents:,} CVs on this machine: {recommend(points, AIM)}",
    ]
    return "\n".join([*notes, ""])


def taken(measured: Sequence[Measured]) -> Measured:
    """The setting that `recommend` takes."""
    names = [m.point.name for m in measured]
    return measured[names.index(recommend([m.point for m in measured], AIM).point.name)]


def _grid(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)]


def _interval(found: Mapping[str, float]) -> str:
    return interval(found["difference"], found["low"], found["high"])


def _piece(text: str, span: tuple[int, int]) -> str:
    words = " ".join(text[span[0] : span[1]].split())
    return words if len(words) <= SHOWN else f"{words[: SHOWN - 1]}…"
