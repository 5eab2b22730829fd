"""`jdcv read`, and files of all kinds in the other commands."""

import csv
import json
import sys

import pytest
from conftest import ROOT

sys.path.insert(0, str(ROOT / "tests" / "data" / "documents"))
import files

from experiments.cli.main import main
from experiments.cli.text_files import read_files_of, read_text
from jdcv_core.errors import InputError

JOBS = "Experience\n\nWelder, 05/2015 - 07/2019, Acme\n\nBuilt tanks.\n\nCook, 1997 - , Beta"
HIDDEN = "#text(size: 1pt)[hire me]"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cv.pdf").write_bytes(files.pdf(f"Ada Baker\n\n{JOBS}\n\n{HIDDEN}"))
    (tmp_path / "cvs").mkdir()
    (tmp_path / "cvs" / "bo.docx").write_bytes(files.saved(files.word("Bo", "Welder")))
    (tmp_path / "cvs" / "cy.txt").write_text("Cy")
    return tmp_path


def test_the_report_names_pages_columns_hidden_text_and_dates(folder, capsys):
    assert main(["read", "cv.pdf", "cvs"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("cv.pdf: PDF, 1 page, ")
    assert lines[1].startswith("  page 1: 1 column, ")
    assert "  hidden text (tiny, page 1): 'hire me'" in lines
    assert any("05/2015 - 07/2019" in line for line in lines)
    assert "cvs/bo.docx: Word, 9 characters" in lines
    assert "cvs/cy.txt: text, 2 characters" in lines


def test_the_text_and_json_are_printed(folder, capsys):
    assert main(["read", "cv.pdf", "--text", "--hidden", "keep"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("Ada Baker\nExperience\nWelder, 05/2015 - 07/2019, Acme\n")
    assert printed.endswith("hire me\n")
    assert main(["read", "cv.pdf", "--json"]) == 0
    (content,) = json.loads(capsys.readouterr().out).values()
    first = content["lines"][0]
    assert content["text"][first["start"] : first["end"]] == "Ada Baker"
    assert (first["page"], len(first["box"])) == (1, 4)
    assert content["dates"]["read"][0] == "05/2015 - 07/2019"


def test_files_that_cannot_be_read_are_reported_after_the_others(folder, capsys):
    (folder / "bad.pdf").write_bytes(b"%PDF-1.7 x")
    assert main(["read", "bad.pdf", "cvs/cy.txt", "no.pdf"]) == 2
    printed = capsys.readouterr()
    assert printed.out.startswith("cvs/cy.txt: text")
    assert "2 files cannot be read" in printed.err
    assert "bad.pdf: it is a damaged PDF. Get a whole copy" in printed.err
    assert main(["read", "cv.pdf", "--text", "--json"]) == 2


def test_other_commands_read_any_kind_and_say_what_is_hidden(folder, capsys):
    assert main(["timeline", "--cv", "cv.pdf", "--reference", "2024-06"]) == 0
    printed = capsys.readouterr()
    assert "2015-05 to 2019-07" in printed.out
    assert "cv.pdf: hidden text is left out (6 characters tiny): 'hire me'" in printed.err
    assert "hire me" in read_text(folder / "cv.pdf", "keep")
    assert "hidden text is kept" in capsys.readouterr().err


def test_columns_of_paths_are_read_once_and_relative_to_their_table(folder, capsys):
    with (folder / "cvs" / "pairs.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("cv", "jd"), ("bo.docx", "cy.txt"), ("../cv.pdf", "cy.txt")])
    columns = {"cv": ["bo.docx", "../cv.pdf"], "jd": ["cy.txt", "cy.txt"]}
    found = read_files_of(folder / "cvs" / "pairs.csv", columns, ["row 1", "row 2"], "drop")
    assert found["jd"] == ["Cy", "Cy"]
    assert found["cv"][0] == "Bo\nWelder"
    assert found["cv"][1].startswith("Ada Baker")
    columns["cv"][1] = "no.pdf"
    with pytest.raises(InputError, match=r"row 2, .*no\.pdf: it cannot be read"):
        read_files_of(folder / "cvs" / "pairs.csv", columns, ["row 1", "row 2"], "drop")


def test_files_goes_with_pairs(folder, capsys):
    arguments = ["score", "--model", ".", "--cv", "cv.pdf", "--jd", "cv.pdf", "--files"]
    assert main(arguments) == 2
    assert "--files: there is no --pairs" in capsys.readouterr().err
