"""`jdcv timeline`: what a person types and sees."""

import html
import json
from datetime import date

import matplotlib
import pytest

from experiments.cli.main import main
from research.experience.parsing import parse_cv
from research.experience.timeline import timeline
from research.experience.weights import Decay

CV = (
    "Ana Pop\nWork Experience\nSenior Accountant, 08/2014-Current, Acme\nClosed the books.\n"
    "Accountant, 05/2009 to 07/2014, Beta\nBooked invoices.\n"
    "Clerk, 05/2009 - 08/2008, Gamma\nFiled."
)


@pytest.fixture
def cv(tmp_path):
    path = tmp_path / "cv.txt"
    path.write_text(CV, encoding="utf-8")
    return path


def test_a_table_and_a_figure(cv, tmp_path, capsys):
    out = tmp_path / "t.png"
    assert main(["timeline", "--cv", str(cv), "--out", str(out), "--reference", "2024-06"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:5] == ["2014-08", "to", "current", "118", "months"]
    assert "Senior Accountant" in lines[0]
    assert out.read_bytes().startswith(b"\x89PNG")
    assert main(["timeline", "--cv", str(cv), "--out", str(out)]) == 2
    assert "--force" in capsys.readouterr().err


def test_json_says_the_same_and_what_was_wrong(cv, capsys):
    assert main(["timeline", "--cv", str(cv), "--reference", "2024-06", "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert [e["months"] for e in content["experiences"]] == [118, 62, 0]
    assert content["experiences"][2]["weight"] is None
    assert "reversed" in content["experiences"][2]["fault"]
    assert any("it has no weight" in note for note in content["notes"])


def test_the_reference_is_said_and_today_where_a_job_is_current(cv, tmp_path, capsys):
    now = date.today()
    today = f"{now.year}-{now.month:02d}"
    assert main(["timeline", "--cv", str(cv)]) == 0
    printed = capsys.readouterr()
    assert f"reference {today} (today)" in printed.out
    assert "the newest date in the CV is 2014-08" in printed.err
    assert main(["timeline", "--cv", str(cv), "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert (content["reference"], content["reference_from"]) == (today, "today")
    assert content["experiences"][0]["months"] == 12 * (now.year - 2014) + now.month - 8
    assert main(["timeline", "--cv", str(cv), "--reference", "2024-06"]) == 0
    assert "reference 2024-06 (given)" in capsys.readouterr().out
    ended = tmp_path / "ended.txt"
    ended.write_text(CV.replace("Current", "10/2015"), encoding="utf-8")
    assert main(["timeline", "--cv", str(ended)]) == 0
    assert "reference 2015-10 (newest date in the CV)" in capsys.readouterr().out


def test_what_was_not_read_is_in_table_json_and_figure(tmp_path, capsys, monkeypatch):
    path, out = tmp_path / "cv.txt", tmp_path / "t.svg"
    path.write_text(CV + "\nWelder, Tarn Ltd\n2013, 2014\nHelper\n03/20XX - 05/20XX\n")
    monkeypatch.setitem(matplotlib.rcParams, "svg.fonttype", "none")
    assert main(["timeline", "--cv", str(path), "--out", str(out)]) == 0
    printed = capsys.readouterr()
    assert 'unread: "2013, 2014" (line 10)' in printed.err
    assert "unknown to unknown" in printed.out
    drawn = html.unescape(out.read_text(encoding="utf-8"))
    assert 'unread: "2013, 2014" (line 10)' in drawn
    assert "(today)" in drawn
    assert main(["timeline", "--cv", str(path), "--json"]) == 0
    (unread,) = json.loads(capsys.readouterr().out)["unread"]
    assert (unread["text"], unread["line"]) == ("2013, 2014", 10)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--reference", "2024"], "2024-06"),
        (["--half-life", "0"], "above 0"),
        (["--jd", "jd.txt"], "a JD"),
        (["--out", "t.jpeg"], ".png"),
    ],
)
def test_a_mistake_is_one_line(cv, capsys, words, message):
    assert main(["timeline", "--cv", str(cv), *words]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1


def test_weights_are_shares_and_scores_are_of_the_own_text():
    seen = []
    entries = timeline(CV, parse_cv(CV, 24293), Decay(60.0), lambda text: seen.append(text) or 0.5)
    weights = [e["weight"] for e in entries if e["weight"] is not None]
    assert sum(weights) == pytest.approx(1)
    assert weights[0] > weights[1]
    assert [e["score"] for e in entries] == [0.5, 0.5, 0.5]
    assert ["Closed" in seen[0], "Booked" in seen[0], "Booked" in seen[1]] == [True, False, True]
