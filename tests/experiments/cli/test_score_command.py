"""The command `jdcv score` as a user types it."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tiny_models import TEXTS, save_matcher, save_matcher_by_line

from experiments.cli.main import main
from jdcv_core.encoding.whitening import Whitening
from jdcv_core.matcher import Matcher
from jdcv_core.scoring import MeanPairs
from jdcv_core.types import LABELS

ROOT = Path(__file__).resolve().parents[3]

CVS = [TEXTS[0], TEXTS[1] * 4, 'says "hi", and\r\nleaves', "Zoë 😀 accountant"]
JDS = [TEXTS[2], "Python developer wanted."]
ROWS = [(str(i), cv, jd) for i, (cv, jd) in enumerate((c, j) for c in CVS for j in JDS)]
HEADER = ("id", "resume_text", "job_description_text")


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return save_matcher(tmp_path_factory.mktemp("model"), Whitening(np.zeros(32), np.eye(32)))


@pytest.fixture(scope="module")
def scores(model) -> list[float]:
    cvs, jds = [cv for _, cv, _ in ROWS], [jd for _, _, jd in ROWS]
    return Matcher.from_pretrained(model, "cpu").score_pairs(cvs=cvs, jds=jds).tolist()


@pytest.fixture(autouse=True)
def _inside(tmp_path, monkeypatch):
    """Each test has a folder, with the caches in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


def write(path: str, rows, header=HEADER) -> str:
    with open(path, "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def read(path: str) -> list[list[str]]:
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def refused(capsys, *arguments) -> str:
    """The error of a command that exits with code 2: its last line, after any progress."""
    assert main(["score", *map(str, arguments)]) == 2
    out, error = capsys.readouterr()
    *bars, line = error.strip().splitlines()
    assert all("━" in bar for bar in bars)
    assert out == ""
    assert line.startswith("Error: ")
    return line


def process(*arguments, **environment) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "experiments.cli.main", *map(str, arguments)]
    settings = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    return subprocess.run(command, capture_output=True, text=True, env=settings, timeout=300)


def test_one_pair_in_a_new_process_without_network_and_caches(model, scores, tmp_path):
    Path("cv.txt").write_bytes(b"\xef\xbb\xbf" + CVS[1].encode())
    Path("jd.txt").write_bytes(JDS[0].encode())
    files = ("--cv", "cv.txt", "--jd", "jd.txt")
    done = process("score", "--model", model, *files, HF_HUB_OFFLINE="1")
    assert done.returncode == 0, done.stderr
    score, label, chunks = done.stdout.splitlines()
    assert score == f"score   {scores[2]:.6f}"
    assert label.startswith("label   ")
    assert label[8:] in LABELS
    matcher = Matcher.from_pretrained(model)
    counts = [
        len(matcher.encode([t], side=s)[0].chunks) for t, s in ((CVS[1], "cv"), (JDS[0], "jd"))
    ]
    assert chunks == f"chunks  {counts[0]} of the CV, {counts[1]} of the JD"
    assert "Traceback" not in done.stderr
    assert "Warning" not in done.stderr
    assert not (tmp_path / "home").exists()


def test_help_comes_at_once_with_examples():
    done = process("score", "--help", PYTHONPROFILEIMPORTTIME="1")
    assert done.returncode == 0
    assert "jdcv score --model" in done.stdout
    assert "--pairs pairs.csv --out scored.csv" in done.stdout
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "jdcv_core.data.tables" in imported
    assert not imported & {"torch", "transformers", "hydra"}


def test_every_row_of_a_table_gets_score_and_label(model, scores, capsys):
    write("pairs.csv", ROWS)
    command = ["score", "--model", str(model), "--pairs", "pairs.csv", "--out", "scored.csv"]
    assert main(command) == 0
    header, *rows = read("scored.csv")
    assert header == [*HEADER, "score", "label"]
    assert [tuple(row[:3]) for row in rows] == ROWS
    np.testing.assert_allclose([float(row[3]) for row in rows], scores, atol=1e-6)
    cuts = [(score >= 0.5) + (score >= 0.9) for score in scores]
    assert [row[4] for row in rows] == [LABELS[cut] for cut in cuts]
    assert len(set(cuts)) > 1
    assert "8 pairs scored" in capsys.readouterr().out
    assert (Path("home") / ".cache" / "jdcv" / "vectors.sqlite").is_file()
    assert sorted(p.name for p in Path().iterdir()) == ["home", "pairs.csv", "scored.csv"]


def test_other_columns_come_through_byte_for_byte(model):
    odd = [("\udcff\udcfe", "", *ROWS[0][1:]), ("a\r\nb", '"', *ROWS[1][1:])]
    header = ("bytes", "label", "cv", "jd")
    with open("pairs.csv", "w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        csv.writer(file).writerows([header, *odd])
    names = ("--cv-column", "cv", "--jd-column", "jd", "--label-column", "guess")
    files = ("--pairs", "pairs.csv", "--out", "scored.csv", "--cache-dir", "cache")
    assert main(["score", "--model", str(model), *files, *names]) == 0
    with open("scored.csv", encoding="utf-8", errors="surrogateescape", newline="") as file:
        written, *rows = csv.reader(file)
    assert written == [*header, "score", "guess"]
    assert [tuple(row[:4]) for row in rows] == odd


def test_a_file_that_is_there_is_only_replaced_when_asked(model, capsys):
    write("pairs.csv", ROWS)
    Path("scored.csv").write_text("mine")
    command = ["--model", str(model), "--pairs", "pairs.csv", "--out", "scored.csv"]
    assert "scored.csv: it is there already" in refused(capsys, *command)
    assert Path("scored.csv").read_text() == "mine"
    assert main(["score", *command, "--force"]) == 0
    assert len(read("scored.csv")) == 9


def test_a_file_that_appears_meanwhile_is_kept(model, capsys, monkeypatch):
    write("pairs.csv", ROWS)

    def meanwhile(self, *, cvs, **others):
        Path("scored.csv").write_text("theirs")
        return np.full(len(cvs), 0.5)

    monkeypatch.setattr(Matcher, "score_pairs", meanwhile)
    assert "it is there already" in refused(
        capsys, "--model", model, "--pairs", "pairs.csv", "--out", "scored.csv"
    )
    assert Path("scored.csv").read_text() == "theirs"
    assert sorted(p.name for p in Path().iterdir() if p.is_file()) == ["pairs.csv", "scored.csv"]


def test_ctrl_c_is_one_line_loses_nothing_and_the_next_run_goes_on(model, capsys, monkeypatch):
    write("pairs.csv", ROWS)
    Path("scored.csv").write_text("before")
    command = ["score", "--model", str(model), "--pairs", "pairs.csv", "--out", "scored.csv"]
    scorer_call = MeanPairs.forward
    monkeypatch.setattr(
        MeanPairs, "forward", lambda *sides: (_ for _ in ()).throw(KeyboardInterrupt)
    )
    assert main([*command, "--force"]) == 130
    (line,) = capsys.readouterr().err.strip().splitlines()[-1:]
    assert line.startswith("Stopped. scored.csv was not written")
    assert Path("scored.csv").read_text() == "before"
    assert not list(Path().glob(".scored*"))
    monkeypatch.setattr(MeanPairs, "forward", scorer_call)
    calls = []
    monkeypatch.setattr("jdcv_core.encoding.encoder.Encoder.run", lambda *a: calls.append(a))
    assert main([*command, "--force"]) == 0  # the vectors were kept: no batch is run
    assert not calls
    assert len(read("scored.csv")) == 9


def test_a_full_disk_leaves_the_old_file(model, capsys, monkeypatch):
    write("pairs.csv", ROWS)
    Path("scored.csv").write_text("before")

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("experiments.cli.text_files.os.fsync", full)
    files = ("--pairs", "pairs.csv", "--out", "scored.csv", "--force")
    assert "Error: scored.csv: No space left" in refused(capsys, "--model", model, *files)
    assert Path("scored.csv").read_text() == "before"
    assert not list(Path().glob(".scored*"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "it got no text. Give --cv and --jd, or --pairs and --out"),
        (("--cv", "a"), "it got --cv."),
        (("--pairs", "a"), "it got --pairs."),
        (("--cv", "a", "--jd", "b", "--out", "c"), "it got --cv --jd --out"),
        (("--cv", "a", "--jd", "b", "--model", "no"), "no: there is no such folder"),
        (("--cv", "no.txt", "--jd", "b"), "no.txt: it cannot be read (No such file"),
        (("--pear", "a"), "unrecognized arguments: --pear a"),
        (("--precision", "fp8"), "argument --precision: invalid choice: 'fp8'"),
        (("--pairs", "no.csv", "--out", "o.csv"), "no.csv: No such file"),
        (("--pairs", "pairs.tsv", "--out", "o.csv"), "pairs.tsv: it is not called .csv"),
        (("--pairs", "p.csv", "--out", "no/o.csv"), "its folder is not there"),
        (("--pairs", "p.csv", "--out", "."), "it is not a file"),
    ],
)
def test_wrong_arguments_are_one_line_before_anything_heavy(model, arguments, said, capsys):
    given = ("--model", model) if "--model" not in arguments else ()
    assert said in refused(capsys, *given, *arguments)


def test_a_command_is_asked_for(capsys):
    for arguments in ([], ["socre"]):
        assert main(arguments) == 2
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert "COMMAND" in line or "score" in line


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "pairs.csv: there is no column 'resume_text'"),
        (b"id,resume,job_description_text\n", "Give --cv-column=NAME; did you mean 'resume'"),
        (b"resume_text,jd\n", "Give --jd-column=NAME"),
        (b"resume_text,job_description_text,label\n", "give --label-column=NAME"),
        (b"resume_text,job_description_text\n", "there is no row below the header"),
        (b"resume_text,job_description_text\na,b\n \t,b\n",
         "pairs.csv, row 2 (line 3): resume_text is empty"),
        (b"resume_text,job_description_text\na,\xff\n",
         "pairs.csv, row 1 (line 2): job_description_text is not valid UTF-8"),
        (b"resume_text,job_description_text\na\n", "row 1 (line 2): it has 1 fields"),
        (b'resume_text,job_description_text\na,"b\n', "row 1 (line 2): its quotes"),
        (b"\x00\x01", "pairs.csv"),
    ],
)  # fmt: skip
def test_a_broken_table_is_one_line_with_file_row_and_cure(model, content, said, capsys):
    Path("pairs.csv").write_bytes(content)
    line = refused(capsys, "--model", model, "--pairs", "pairs.csv", "--out", "scored.csv")
    assert said.lower() in line.lower()
    assert not Path("scored.csv").exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b" \n", "cv.txt: the text is empty"),
        (b"%PDF-1.7 ...", "cv.txt: it is a damaged PDF"),
        (b"PK\x03\x04...", "DOCX"),
        (b"a\x00b", "binary"),
        (b"caf\xe9", "not valid UTF-8"),
    ],
)
def test_a_file_that_is_no_text_is_one_line(model, content, said, capsys):
    Path("cv.txt").write_bytes(content)
    Path("jd.txt").write_text(JDS[0])
    files = ("--cv", "cv.txt", "--jd", "jd.txt")
    assert said in refused(capsys, "--model", model, *files)


def test_a_folder_that_is_no_matcher_is_one_line(capsys):
    for name in ("cv.txt", "jd.txt"):
        Path(name).write_text(JDS[0])
    Path("empty").mkdir()
    files = ("--cv", "cv.txt", "--jd", "jd.txt")
    assert "manifest.json: it is missing" in refused(capsys, "--model", "empty", *files)


@pytest.fixture(scope="module")
def by_line(tmp_path_factory) -> Path:
    return save_matcher_by_line(tmp_path_factory.mktemp("by_line"))


CV = "Ada Byron\nAccountant, 01/2019-04/2022, Acme\nClosed the books.\nEducation\nDegree"
JD = "Accountant wanted\nYou close the books\nYou bake bread"


def test_reasons_are_printed_and_drawn(by_line, capsys):
    Path("cv.txt").write_text(CV)
    Path("jd.txt").write_text(JD)
    files = ("--cv", "cv.txt", "--jd", "jd.txt")
    command = ["score", "--model", str(by_line), *files, "--explain"]
    assert main([*command, "--out", "why.png"]) == 0
    printed, said = capsys.readouterr()
    assert printed == f"{Matcher.from_pretrained(by_line).explain(cv=CV, jd=JD)}\n"
    capsys.readouterr()
    assert '"You bake bread"' in printed
    assert "Accountant, 01/2019-04/2022, 39 months, ended 26 months ago" in printed
    assert Path("why.png").read_bytes().startswith(b"\x89PNG")
    assert "Figure: why.png" in said
    assert "why.png: it is there already" in refused(capsys, *command[1:], "--out", "why.png")
    assert "End it in .png" in refused(capsys, *command[1:], "--out", "why.csv")


def test_a_scorer_without_requirements_is_explained_by_its_chunks_and_not_drawn(model, capsys):
    Path("cv.txt").write_text(CVS[1])
    Path("jd.txt").write_text(JDS[0])
    command = ["--model", str(model), "--cv", "cv.txt", "--jd", "jd.txt", "--explain"]
    assert main(["score", *command]) == 0
    assert "CV chunks by their effect on the score\n" in capsys.readouterr().out
    assert "MeanPairs does not say which requirement" in refused(capsys, *command, "--out", "a.png")
    pairs = ("--pairs", "pairs.csv", "--out", "scored.csv")
    assert "Give --cv and --jd" in refused(capsys, "--model", model, *pairs, "--explain")
