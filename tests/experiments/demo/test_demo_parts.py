"""Names, texts and settings of the demo."""

import importlib.util

import pytest

from experiments.cli.main import main
from experiments.demo import demo_server
from experiments.demo.blind import HIDDEN, hide, name_of, renamed
from experiments.demo.inert import csv_cell, html_of, id_of, visible
from jdcv_core.data.documents.file_text import Limits


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("../../etc/passwd", "passwd"),
        ("..\\..\\windows\\cv.pdf", "cv"),
        ("..", "file"),
        ("<img src=x onerror=alert(1)>.pdf", "img-src-x-onerror-alert-1"),
        ("Zoe\u0308 cv.DOCX", "Zoë-cv"),
        ("\u202efdp.exe", "fdp.exe"),
        ("a" * 300 + ".pdf", "a" * 80),
    ],
)
def test_the_id_of_a_file_is_one_plain_word(name, expected):
    assert id_of(name) == expected
    assert id_of(name, {expected}) == f"{expected}-2"


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", " =1", "\r=1", "＝1", "|x"]
)
def test_no_cell_is_a_formula(text):
    assert csv_cell(text).startswith("'")


def test_characters_that_are_not_seen_become_visible():
    assert visible("a\u202eb\u200bc\U000e0041d\x00") == "a‹U+202E›b‹U+200B›c‹U+E0041›d‹U+0000›"
    assert visible("می\u200cخواهم\n\t") == "می\u200cخواهم\n\t"
    assert html_of("\"><b onclick='x'>") == "&quot;&gt;&lt;b onclick=&#x27;x&#x27;&gt;"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("\n Ada Byron \nAccountant", "Ada Byron"),
        ("CURRICULUM VITAE\nJosé de-la Cruz\n", ""),
        ("RESUME\nJean-Luc O'Neill", "Jean-Luc O'Neill"),
        ("Senior accountant with 10 years", ""),
        ("王 小明\n会计", "王 小明"),
    ],
)
def test_the_name_is_a_line_that_looks_like_one(text, name):
    assert name_of(text) == name


def test_names_and_contacts_are_hidden_and_dates_are_not():
    cv = "Ada Byron, ada.b@x.org, +44 (0)20 7946 0018, https://x.org/ada\n2019-2022 byron's team"
    shown = hide(cv, "Ada Byron")
    assert shown.count(HIDDEN) == 6
    assert "2019-2022" in shown
    assert not {"ada", "byron", "7946"} & set(shown.lower().replace("'", " ").split())


def test_another_name_replaces_the_whole_and_its_parts():
    assert renamed("Li Na. Na led Nation.", "Li Na", "Bo Ek") == "Bo Ek. Ek led Nation."
    assert renamed("Li Na", "", "Bo Ek") == renamed("Li Na", "Li Na", "") == "Li Na"


def test_the_page_is_for_this_machine_and_takes_files_that_the_reader_takes():
    options = demo_server.options(8501)
    assert options["server.address"] == "localhost"
    assert options["server.maxUploadSize"] == Limits().megabytes
    assert options["browser.gatherUsageStats"] is False
    assert options["client.showErrorDetails"] == "none"


def test_without_streamlit_the_message_names_the_extra(monkeypatch, capsys):
    real = importlib.util.find_spec
    monkeypatch.setattr(
        demo_server, "find_spec", lambda name: None if name == "streamlit" else real(name)
    )
    assert main(["demo"]) == 2
    assert "pip install 'jdcv[demo]'" in capsys.readouterr().err
