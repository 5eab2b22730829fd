"""What the report says, as blocks. Every number comes from the evidence."""

from __future__ import annotations

from jdcv_core.evaluation.formats import short, undefined
from papers.blocks import Block, bullets, heading, paragraph, table
from papers.cards import cards
from papers.evidence import Ablation, Evidence, EvidenceError
from papers.notes import Note
from papers.results import results
from papers.simulated import ceilings, protocol, sweep_of
from papers.wording import FOREST, KINDS, capital, compared, listed, title, verdicts


def report(evidence: Evidence, notes: list[Note]) -> list[Block]:
    """The whole report. Raises EvidenceError for a row or a dataset without a page of notes."""
    found = [*_opening(evidence), *_summary(evidence.ablations), *_reading()]
    found += cards(evidence.ablations, notes)
    for ablation in evidence.ablations:
        found += results(ablation)
    if evidence.sweep:
        found += sweep_of(evidence.sweep)
    if evidence.statistics:
        found += protocol(evidence.statistics)
    found += ceilings(evidence.ablations)
    found += _methods(evidence.ablations, notes)
    return found + _provenance(evidence)


def _opening(evidence: Evidence) -> list[Block]:
    seeds = max(len(a.table["seeds"]) for a in evidence.ablations)
    return [
        heading(
            1, "Which way of putting chunks together is better than the mean over chunk pairs?"
        ),
        paragraph(
            "A CV and a job description (JD) are longer than a small language model can read at "
            "once. They are cut into chunks, an encoder turns each chunk into a vector, and a "
            "scorer makes one score of all of them. The baseline takes the mean score over all "
            "pairs of a JD chunk and a CV chunk. This report compares it with published and new "
            f"ways, on the same vectors, over up to {seeds} seeds and several splits, by one "
            "protocol that says **tie** when the data cannot tell two rows apart. It is made by "
            "`make report` from the files in `papers/evidence` alone."
        ),
    ]


def _summary(ablations: list[Ablation]) -> list[Block]:
    said = []
    for ablation in ablations:
        split = ablation.table["main_split"]
        parts = []
        for metric, name in FOREST.items():
            found = verdicts(ablation, split, metric)
            parts.append(
                f"{name}: {len(found['better'])} better, {len(found['tie'])} tie, "
                f"{len(found['worse'])} worse"
            )
        said.append(
            f"**{capital(title(ablation))}**, split {KINDS[split]}, {len(compared(ablation))} "
            f"variants against {_what(ablation)}. {'; '.join(parts)}."
        )
        said += [f"{capital(title(ablation))}: {s}" for s in _consistent(ablation)]
    said += _negatives(ablations)
    return [heading(2, "What came out"), bullets(said)]


def _what(ablation: Ablation) -> str:
    return ablation.table["baseline"] if ablation.other_baseline else "the baseline"


def _consistent(ablation: Ablation) -> list[str]:
    """What holds on every split that is not leaky, and what is a shortcut."""
    splits = [s for s in ablation.table["splits"] if s != "pair"]
    said = []
    always = {
        metric: [
            row["name"]
            for row in compared(ablation)
            if all(row["against"][s][metric]["verdict"] == "better" for s in splits)
        ]
        for metric in ("auc_good", "weighted_f1")
    }
    kinds = listed(KINDS[s] for s in splits)
    for metric, names in always.items():
        if names and len(splits) > 1:
            said.append(f"better in {FOREST[metric]} on every split ({kinds}): {listed(names)}.")
    if not any(always.values()) and len(splits) > 1:
        said.append(f"no variant is better in AUC or weighted F1 on every split ({kinds}).")
    shortcut = [
        row["name"]
        for row in compared(ablation)
        if (against := row["against"][ablation.table["main_split"]])["auc_good"]["verdict"]
        == "better"
        and against.get("auc_within_cv", {"verdict": "better"})["verdict"] in ("tie", "worse")
    ]
    if shortcut:
        said.append(
            "a gain in the AUC over all pairs that is no gain within a CV, so possibly a "
            f"shortcut: {listed(shortcut)}."
        )
    return said


def _negatives(ablations: list[Ablation]) -> list[str]:
    """What did not do what its authors, or we, hoped for."""
    said = []
    for ablation in ablations:
        if ablation.brief:
            continue
        split = ablation.table["main_split"]
        worse = verdicts(ablation, split, "weighted_f1")["worse"]
        if worse:
            said.append(
                f"Negative, {title(ablation)}: worse than the baseline in weighted F1: "
                f"{listed(worse)}."
            )
        figures = {
            row["name"]: row["figures"][split]["auc_good"]["mean"] for row in ablation.table["rows"]
        }
        mine = max(
            (n for n in (r["name"] for r in compared(ablation)) if not undefined(figures[n])),
            key=lambda n: figures[n],
        )
        words = [
            f"{row['name']} ({short(figures[row['name']])})"
            for row in ablation.table["rows"]
            if row["kind"] == "floor" and (figures[row["name"]] or 0) > figures[mine]
        ]
        if words:
            said.append(
                f"Negative, {title(ablation)}: floors with a higher AUC than the best variant, "
                f"{mine} ({short(figures[mine])}): {listed(words)}."
            )
        said += _terms(ablation)
    return said


def _terms(ablation: Ablation) -> list[str]:
    """Chunk attention beside itself with a term less, and beside its falsifiers: means, for no test
    compares them."""
    split = ablation.table["main_split"]
    rows = {row["name"]: row["figures"][split] for row in ablation.table["rows"]}
    if "chunk attention" not in rows:
        return []
    whole = short(rows["chunk attention"]["auc_good"]["mean"])
    said = []
    for start, what in (
        ("chunk attention without ", f"its four terms, all {whole}, without"),
        ("chunk attention, ", f"its falsifiers, itself {whole}"),
    ):
        parts = [
            f"{name.removeprefix(start)} {short(rows[name]['auc_good']['mean'])}"
            for name in rows
            if name.startswith(start)
        ]
        if parts:
            said.append(f"Chunk attention, {title(ablation)}, mean AUC of {what}: {listed(parts)}.")
    return said


def _reading() -> list[Block]:
    return [
        heading(2, "How to read the tables"),
        paragraph(
            "Figures are means ± sample standard deviations over seeds, on test pairs. A seed "
            "fixes the split, the training and, where the encoder is trained here, the encoder. "
            "Cuts between classes are tuned on validation pairs. Differences to the baseline "
            "have 95% intervals over new JDs and new seeds, and a p-value that must pass both a "
            "permutation test over JDs and the interval's own test, after Holm's correction over "
            "the variants of the table. **tie**: the interval includes 0. **tie (Holm)**: it "
            "does not, but the corrected p is above .05. Floors and falsifiers are no hypotheses "
            "and have no p. AUC in CV compares pairs of one CV only: a gain in AUC that is none "
            "there is a shortcut, for the scorer may know the CV and not the match."
        ),
        bullets(
            [
                "wF1, mF1: F1 weighted by class frequency, and its plain mean over the classes.",
                "QWK: quadratic weighted kappa. far: share of pairs with No for Good or the "
                "reverse.",
                "AUC: Good Fit against the rest. nDCG@10, MAP, MRR, R@k, P@k: per JD, over its "
                "test pairs; k is as deep as the smallest judged pool, 5 at most.",
                "Brier: mean squared error of the score to its target (0, .5, 1). ECE: expected "
                "calibration error.",
            ]
        ),
    ]


def _methods(ablations: list[Ablation], notes: list[Note]) -> list[Block]:
    by_row = {row: note for note in notes for row in note.rows}
    order: list[Note] = []
    for ablation in ablations:
        for row in ablation.table["rows"]:
            if row["name"] not in by_row:
                raise EvidenceError(
                    f"papers: no page has the row {row['name']!r} of {ablation.name} in its line "
                    "'Rows: …'. Write one, or add it."
                )
            if by_row[row["name"]] not in order:
                order.append(by_row[row["name"]])
    order += [n for n in notes if not n.rows and not n.data]
    found = [
        heading(2, "Methods"),
        paragraph("One paragraph each; `papers/` has a page of notes on every one of them."),
    ]
    for note in order:
        found += [
            heading(3, note.title),
            paragraph(note.paragraph),
            paragraph(f"Source: {note.source}. Notes: `papers/{note.file}`."),
        ]
    return found


def _provenance(evidence: Evidence) -> list[Block]:
    rows = []
    for ablation in evidence.ablations:
        facts = ablation.facts
        git = facts["git"] or {"commit": "none", "dirty": True}
        dirty = ", with changes" if git["dirty"] else ""
        rows.append(
            [
                f"evidence/{ablation.name}",
                f"{git['commit'][:12]}{dirty}",
                facts["config_hash"],
                facts["data"]["fingerprint"][:12],
                facts["versions"]["torch"],
                facts["versions"]["transformers"],
            ]
        )
    commands = [f"`{a.table['command']}`" for a in evidence.ablations]
    if evidence.sweep:
        commands.append(f"`{evidence.sweep[0]['command']}`")
    return [
        heading(2, "Where the figures come from"),
        bullets(commands),
        table(
            "**Provenance.** Commit of the code, configuration, data and libraries of each "
            "experiment.",
            ["evidence", "commit", "configuration", "data", "torch", "transformers"],
            rows,
        ),
    ]
