"""The data cards, and the statistics of splits and chunks."""

from __future__ import annotations

from statistics import mean

from papers.blocks import Block, heading, paragraph, table
from papers.evidence import Ablation, EvidenceError
from papers.notes import Note
from papers.wording import KINDS, span, title

PARTS = ("train", "validation", "test")


def cards(ablations: list[Ablation], notes: list[Note]) -> list[Block]:
    """The data cards, and the statistics of each split."""
    found = [heading(2, "Data and splits")]
    seen: set[str] = set()
    for ablation in ablations:
        data = ablation.facts["data"]
        if data["fingerprint"] in seen:
            continue
        seen.add(data["fingerprint"])
        note = next((n for n in notes if n.data == data["name"]), None)
        if note is None:
            raise EvidenceError(
                f"papers: no page has the line 'Data: {data['name']}', which {ablation.name} is "
                "about. Write one."
            )
        found += [heading(3, note.title), paragraph(note.paragraph)]
        found.append(paragraph(f"Source: {note.source}"))
        found.append(_splits(ablation))
    found.append(_encodings(ablations))
    return found


def _splits(ablation: Ablation) -> Block:
    data = ablation.facts["data"]
    labels = ", ".join(f"{name} {count:,}" for name, count in data["label_counts"].items())
    rows = []
    for kind in ablation.table["splits"]:
        seeds = list(ablation.kind(kind).values())
        rows.append(
            [
                KINDS[kind],
                *(span([s[part]["pairs"] for s in seeds]) for part in PARTS),
                span([s["discarded"] for s in seeds]),
                span([s["test"]["jds"] for s in seeds]),
                span([s["test"]["labels"]["Good Fit"] for s in seeds]),
                f"{mean(s['test_cvs_in_train'] for s in seeds):.0%}",
                f"{mean(s['test_jds_in_train'] for s in seeds):.0%}",
            ]
        )  # fmt: skip
    return table(
        f"**Splits.** {data['pairs']:,} pairs of {data['cvs']} CVs and {data['jds']} JDs "
        f"({labels}); {data['duplicates_merged']} duplicates merged, {data['conflicts_dropped']} "
        "pairs with conflicting labels dropped. Least and most over the seeds. Near-duplicates "
        "stay on one side.",
        ["split", "train", "validation", "test", "discarded", "test JDs", "test Good Fit",
         "test CVs in train", "test JDs in train"],
        rows,
    )  # fmt: skip


def _encodings(ablations: list[Ablation]) -> Block:
    rows = []
    for ablation in ablations:
        if ablation.brief:
            continue
        e = ablation.facts["encodings"][0]
        chunks = e["chunk_counts"]
        rows.append(
            [
                title(ablation),
                str(e["size"]),
                f"{e['documents']:,}",
                *(f"{chunks[s]['median']:g} ({chunks[s]['max']})" for s in ("cv", "jd")),
                *(f"{chunks[s]['of_one_chunk']}" for s in ("cv", "jd")),
                e["precision"],
            ]
        )
    return table(
        "**Chunks.** At most so many tokens each; the median number in a document, and the most.",
        ["experiment", "tokens", "documents", "chunks of a CV", "of a JD", "CVs of one chunk",
         "JDs of one chunk", "precision"],
        rows,
    )  # fmt: skip
