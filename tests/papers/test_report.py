"""The report contains the figures of the evidence, and no others."""

import copy
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
from papers.build import HERE, TEMPLATE, blocks, build, fill, runs
from papers.evidence import MAIN, RANKING, Ablation, EvidenceError, read_evidence
from papers.notes import read_notes

PAPERS = ROOT / "papers"
EVIDENCE = PAPERS / "evidence"
FOUND, STATISTICS = read_evidence(EVIDENCE)
NOTES = read_notes(PAPERS)


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    build(EVIDENCE, folder)
    return folder


def tables_of(text: str) -> list[tuple[list[str], list[list[str]]]]:
    """Return heading and rows of every table of a Markdown text."""
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
    shown = [a for a in FOUND if not a.brief]
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
    for ablation in FOUND:
        for row in ablation.table["rows"]:
            for found in (row["against"] or {}).get(ablation.table["main_split"], {}).values():
                inside = found["difference"] is not None and found["low"] <= 0 <= found["high"]
                said = difference(found)
                assert said.endswith("tie") == inside
                assert said in text


def report(ablations=FOUND, notes=NOTES, template=None) -> str:
    return fill(ablations, STATISTICS, notes, template)[0]


def test_changed_evidence_changes_the_report_and_its_prose():
    changed = copy.deepcopy(FOUND)
    ablation = changed[0]
    row = next(r for r in ablation.table["rows"] if r["kind"] == "variant" and r["against"])
    assert row["against"][ablation.main]["auc_good"]["verdict"] == "worse"
    row["against"][ablation.main]["auc_good"] |= {
        "difference": 0.345, "low": 0.234, "high": 0.456, "verdict": "better", "p_holm": 0.0012,
    }  # fmt: skip
    row["figures"][ablation.main]["weighted_f1"] |= {"mean": 0.0123, "sd": 0.0456}
    before, after = report(), report(changed)
    for said in ("+.345 [+.234, +.456] p .001", ".012±.05", "that was seen is .345"):
        assert said in after
        assert said not in before
    counts = [re.search(r"AUC: (\d+) better, \d+ tie, (\d+) worse", t) for t in (before, after)]
    (better, worse), (more, fewer) = (tuple(map(int, c.groups())) for c in counts)
    assert (more, fewer) == (better + 1, worse - 1)


def test_an_unknown_key_of_the_template_is_named():
    whole = (HERE / TEMPLATE).read_text()
    for key in ("statistics.tabels", "ablations[0].table.noise", "ablations[0].titel", "nobody"):
        with pytest.raises(EvidenceError, match=f"{TEMPLATE}.*{key.rpartition('.')[2]}"):
            report(template=f"{whole}\n{{{{ {key} }}}}\n")


class Traced(dict):
    """A dict that records the path of every plain value that is read from it."""

    def __init__(self, content: dict, path: tuple, read: set) -> None:
        super().__init__()
        self.path, self.read = path, read
        for key, value in content.items():
            super().__setitem__(key, traced(value, (*path, key), read))

    def __getitem__(self, key):
        value = super().__getitem__(key)
        if not isinstance(value, dict | list):
            self.read.add((*self.path, key))
        return value

    def get(self, key, default=None):
        return self[key] if key in self.keys() else default  # noqa: SIM118, SIM401


def traced(value, path: tuple, read: set):
    if isinstance(value, dict):
        return Traced(value, path, read)
    if isinstance(value, list):
        return [traced(item, (*path, at), read) for at, item in enumerate(value)]
    return value


@pytest.mark.parametrize("ablation", FOUND, ids=lambda a: a.name)
def test_every_figure_of_the_evidence_is_read(ablation):
    """The report reads these figures of every row: the main table, and ranking and calibration, on
    the main split, the means of the compared metrics on every split, differences with interval, p
    and verdict, and attributions. For an experiment that repeats others (`brief`) it reads only the
    differences."""
    read: set = set()
    table = traced(ablation.table, (), read)
    fill([Ablation(ablation.name, table, ablation.facts)], STATISTICS, NOTES)
    wanted = set()
    for at, row in enumerate(ablation.table["rows"]):
        compared, main = ablation.table["compared"], ablation.main
        if row["against"] is not None:
            keys = ("difference", "low", "high", "p_holm", "verdict")
            wanted |= {("rows", at, "against", main, m, k) for m in compared for k in keys}
        if not ablation.brief:
            shown = (*MAIN, *RANKING)
            wanted |= {("rows", at, "figures", main, m, "mean") for m in shown}
            wanted |= {("rows", at, "figures", main, m, "sd") for m in shown if m != "k"}
            splits = ablation.table["splits"]
            wanted |= {("rows", at, "figures", s, m, "mean") for s in splits for m in compared}
            for method, found in (row["faithfulness"] or {}).items():
                wanted |= {
                    ("rows", at, "faithfulness", method, k)
                    for k in found
                    if k in ("against_random", "low", "high")
                }
    missed = {p for p in wanted if _value(ablation.table, p) is not None} - read
    undefined = {p for p in missed if p[-1] != "difference" and "against" in p and _value(
        ablation.table, (*p[:-1], "difference")) is None}  # fmt: skip
    assert not missed - undefined
    assert len(wanted) > 100


def _value(table, path):
    for key in path:
        table = table[key]
    return table


def test_a_row_without_notes_or_a_dataset_without_a_card_is_refused_by_name():
    row = "poly-codes"
    with pytest.raises(EvidenceError, match=re.escape(repr(row))):
        report(notes=[n for n in NOTES if row not in n.rows])
    with pytest.raises(EvidenceError, match="Data: "):
        report(notes=[n for n in NOTES if not n.data])


def test_evidence_that_is_missing_or_damaged_is_refused_by_name(tmp_path):
    with pytest.raises(EvidenceError, match=re.escape(str(tmp_path))):
        read_evidence(tmp_path)
    shutil.copytree(EVIDENCE / FOUND[0].name, tmp_path / "one")
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
    for ablation in FOUND:
        assert ablation.facts["git"]["dirty"] is False
        assert ablation.table["command"].startswith("python experiments/run.py +exp=ablation")


def test_it_needs_nothing_but_jinja2_and_typst(tmp_path):
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
    assert runs("a **b** `c_d` e") == [
        {"style": "plain", "text": "a "},
        {"style": "strong", "text": "b"},
        {"style": "plain", "text": " "},
        {"style": "code", "text": "c_d"},
        {"style": "plain", "text": " e"},
    ]
    assert "".join(run["text"] for run in runs("no marks")) == "no marks"


def test_markdown_becomes_blocks():
    text = "# T\n\nText.\n\n- a\n- b\n\n**C.**\n\n| h | i |\n| --- | --- |\n| 1 | **2** |\n"
    kinds = [block["kind"] for block in blocks(text, {})]
    assert kinds == ["heading", "paragraph", "list", "table"]
    table = blocks(text, {})[-1]
    assert table["head"] == ["h", "i"]
    assert table["rows"] == [[runs("1"), runs("**2**")]]
    assert table["caption"] == runs("**C.**")
    drawing = {"kind": "figure", "name": "x"}
    assert blocks("![C](figures/x.svg)\n\nC\n", {"x": drawing}) == [drawing]
