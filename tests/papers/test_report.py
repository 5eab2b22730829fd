"""The report says what the evidence says, and nothing else."""

import copy
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT
from omegaconf import OmegaConf

from experiments.cells.train_cell import FLOOR_NAMES
from jdcv_core.evaluation.formats import difference, short, with_spread
from papers import blocks, contents
from papers.build import build
from papers.evidence import EvidenceError, read_evidence
from papers.notes import read_notes

PAPERS = ROOT / "papers"
EVIDENCE = PAPERS / "evidence"
FOUND = read_evidence(EVIDENCE)
NOTES = read_notes(PAPERS)


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    build(EVIDENCE, folder)
    return folder


def tables_of(text: str) -> list[tuple[list[str], list[list[str]]]]:
    """Head and rows of every table of a Markdown text."""
    found = []
    for part in re.findall(r"(?:^\|.*\n?)+", text, flags=re.MULTILINE):
        rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in part.splitlines()]
        found.append((rows[0], rows[2:]))
    return found


def test_the_committed_report_is_made_of_the_committed_evidence(built):
    assert (built / "report.md").read_text() == (PAPERS / "report.md").read_text()
    committed = {path.name: path.read_bytes() for path in (PAPERS / "figures").glob("*.svg")}
    assert committed == {path.name: path.read_bytes() for path in (built / "figures").glob("*")}


def test_the_same_evidence_gives_the_same_bytes(built, tmp_path):
    build(EVIDENCE, tmp_path)
    for path in sorted(p for p in built.rglob("*") if p.is_file()):
        assert path.read_bytes() == (tmp_path / path.relative_to(built)).read_bytes(), path.name


def test_every_figure_of_the_main_table_is_that_of_the_evidence(built):
    found = [t for t in tables_of((built / "report.md").read_text()) if "trained" in t[0]]
    shown = [a for a in FOUND.ablations if not a.brief]
    assert len(found) == len(shown) > 0
    for ablation, (head, rows) in zip(shown, found, strict=True):
        headings = {m["heading"]: key for key, m in ablation.table["metrics"].items()}
        assert [r["name"] for r in ablation.table["rows"]] == [r[0].strip("*") for r in rows]
        for record, row in zip(ablation.table["rows"], rows, strict=True):
            figures = record["figures"][ablation.table["main_split"]]
            for heading, cell in zip(head[1:-2], row[1:-2], strict=True):
                own = figures[headings[heading]]
                assert cell.strip("*") == with_spread(own["mean"], own["sd"])


def test_every_tie_of_the_evidence_is_called_a_tie(built):
    text = (built / "report.md").read_text()
    for ablation in FOUND.ablations:
        for row in ablation.table["rows"]:
            for found in (row["against"] or {}).get(ablation.table["main_split"], {}).values():
                inside = found["difference"] is not None and found["low"] <= 0 <= found["high"]
                said = difference(found)
                assert said.endswith("tie") == inside
                assert said in text


def test_changed_evidence_changes_the_report_and_its_summary():
    evidence = copy.deepcopy(FOUND)
    ablation = evidence.ablations[0]
    split = ablation.table["main_split"]
    before = blocks.markdown(contents.report(evidence, NOTES))
    row = next(r for r in ablation.table["rows"] if r["kind"] == "variant" and r["against"])
    row["against"][split]["auc_good"] |= {
        "difference": 0.345, "low": 0.234, "high": 0.456, "verdict": "better", "p_holm": 0.0012,
    }  # fmt: skip
    row["figures"][split]["weighted_f1"] |= {"mean": 0.0123, "sd": 0.0456}
    after = blocks.markdown(contents.report(evidence, NOTES))
    for said in ("+.345 [+.234, +.456] p .001", ".012±.05", "the largest difference in AUC that"):
        assert said in after
    assert "+.345 [+.234, +.456] p .001" not in before


def test_a_row_without_notes_or_a_dataset_without_a_card_is_refused_by_name():
    row = "poly-codes"
    with pytest.raises(EvidenceError, match=re.escape(repr(row))):
        contents.report(FOUND, [n for n in NOTES if row not in n.rows])
    with pytest.raises(EvidenceError, match="Data: "):
        contents.report(FOUND, [n for n in NOTES if not n.data])


def test_evidence_that_is_missing_or_damaged_is_refused_by_name(tmp_path):
    with pytest.raises(EvidenceError, match=re.escape(str(tmp_path))):
        read_evidence(tmp_path)
    shutil.copytree(EVIDENCE / FOUND.ablations[0].name, tmp_path / "one")
    (tmp_path / "one" / "facts.json").write_text("{")
    with pytest.raises(EvidenceError, match="facts.json"):
        read_evidence(tmp_path)


@pytest.mark.parametrize(
    ("page", "said"),
    [("no title", "# Title"), ("# A\n\ntext", "Source"), ("# A\nSource: b", "paragraph")],
)
def test_a_page_of_another_form_is_refused(tmp_path, page, said):
    (tmp_path / "page.md").write_text(page)
    with pytest.raises(EvidenceError, match=f"page.md.*{said}"):
        read_notes(tmp_path)


def test_every_row_of_every_experiment_is_on_one_page():
    rows = set(FLOOR_NAMES.values())
    for path in (ROOT / "experiments" / "configs" / "exp").glob("*.yaml"):
        rows |= set(OmegaConf.load(path).get("variants", {}))
    assert rows <= {row for note in NOTES for row in note.rows}


def test_no_evidence_names_a_place_on_the_machine_that_made_it():
    for path in EVIDENCE.rglob("*.*"):
        text = path.read_text()
        assert "/work" not in text, path
        assert "/tmp" not in text, path
        assert "/root" not in text, path
    for ablation in FOUND.ablations:
        assert ablation.facts["git"]["dirty"] is False
        assert ablation.table["command"].startswith("python experiments/run.py +exp=ablation")


def test_it_needs_nothing_but_typst(tmp_path):
    script = (
        "import sys; sys.argv = ['build', '--out', sys.argv[1]]\n"
        "from papers.build import main; main()\n"
        "heavy = {'torch', 'numpy', 'matplotlib', 'omegaconf', 'rich'} & set(sys.modules)\n"
        "print(sorted(heavy))"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.splitlines() == [
        f"{tmp_path}/report.md", f"{tmp_path}/report.pdf", "[]",
    ], done.stderr  # fmt: skip
    assert (tmp_path / "report.pdf").read_bytes().startswith(b"%PDF")


def test_a_folder_without_evidence_ends_in_one_line(tmp_path):
    command = [sys.executable, "-m", "papers.build", "--evidence", str(tmp_path / "no")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("Error: ")
    assert str(tmp_path / "no") in line


def test_numbers_read_the_same_everywhere():
    assert [short(x) for x in (0.5124, -0.034, 1.0, 0.9999, -0.9996, 12.3456)] == [
        ".512", "-.034", "1.000", "1.000", "-1.000", "12.346",
    ]  # fmt: skip
    assert short(None) == short(float("nan")) == "n/a"
    assert short(0.034, sign=True) == "+.034"
    assert with_spread(0.5, 0.016) == ".500±.02"
    assert with_spread(0.5, None) == ".500"


def test_marked_words_become_runs():
    assert blocks.runs("a **b** `c_d` e") == [
        {"style": "plain", "text": "a "},
        {"style": "strong", "text": "b"},
        {"style": "plain", "text": " "},
        {"style": "code", "text": "c_d"},
        {"style": "plain", "text": " e"},
    ]
    assert "".join(run["text"] for run in blocks.runs("no marks")) == "no marks"
    with pytest.raises(ValueError, match="2 cells under 3 headings"):
        blocks.table("caption", ["a", "b", "c"], [["1", "2"]])
    assert json.dumps(blocks.as_runs(blocks.bullets(["x `y`"])))
