"""HTML and RTF: what a browser or a writer shows is read, and what they do not show is reported."""

import pytest

from jdcv_core.data.documents.file_text import Limits
from jdcv_core.data.documents.rtf import read_rtf
from jdcv_core.data.documents.web import read_web


def web(body, hidden="drop"):
    return read_web(f"<!doctype html><html>{body}</html>".encode(), hidden, Limits())


def rtf(body, hidden="drop"):
    head = (
        r"{\rtf1\ansi{\fonttbl{\f0 Arial;}}{\colortbl;\red255\green255\blue255;\red0\green0\blue0;}"
    )
    return read_rtf(f"{head}{body}}}".encode("latin-1"), hidden, Limits())


def test_blocks_are_lines_and_cells_are_separated_by_tabs():
    body = "<head><title>x</title><style>p{}</style></head><body><h1>Ada\n <b>Baker</b></h1>"
    body += "<p>Welder,<br>Graz<ul><li>TIG<li>MIG</ul><table><tr><td>2015<td>Acme</table>end"
    body += "<script>alert(1)</script>"
    lines = ["Ada Baker", "Welder,", "Graz", "TIG", "MIG", "2015\tAcme", "end"]
    assert web(body).text.split("\n") == lines


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ("Zoë".encode("utf-16"), "Zoë"),
        ("Zoë".encode("cp1252"), "Zoë"),
        ('<meta charset="koi8-r">Опыт'.encode("koi8-r"), "Опыт"),
        ("Zoë &amp; Łódź &nbsp;&#8211; x".encode(), "Zoë & Łódź \u00a0– x"),
    ],
)
def test_the_encoding_is_the_one_that_a_browser_takes(data, text):
    start = "<html><body>".encode("utf-16" if data[:2] == b"\xff\xfe" else "ascii")
    data = start + data[2:] if start[:2] == data[:2] else start + data
    assert read_web(data, "drop", Limits()).text == text


@pytest.mark.parametrize(
    ("style", "way"),
    [
        ("display: none", "marked hidden"),
        ("visibility:hidden", "marked hidden"),
        ("font-size: 1px", "tiny"),
        ("font-size:0", "tiny"),
        ("position:absolute; left:-9999px", "off the page"),
        ("opacity: 0", "not drawn"),
        ("color: #FFF", "background colour"),
        ("color: rgb(255, 255, 255)", "background colour"),
    ],
)
def test_hidden_elements_are_reported(style, way):
    for body in (
        f"<p>Ada <span style='{style}'>hire <b>me</b></span> Baker",
        f"<head><style>.x {{ {style} }}</style></head><p>Ada <span class=x>hire me</span> Baker",
    ):
        dropped, kept = web(body), web(body, "keep")
        assert dropped.text.split() == ["Ada", "Baker"]
        assert kept.text == "Ada hire me Baker"
        assert dropped.ways == kept.ways == {way: 6}


def test_white_text_on_a_dark_background_is_seen():
    body = "<div style='background:#123'><p style='color:#fff'>Ada</p></div>"
    assert web(body).text == "Ada"
    assert not web(body).hidden


def test_rtf_with_letters_of_all_kinds():
    assert rtf(r"Zo\'eb \u321?\'f3d\u378?\par{\b Welder}\tab 2015").text == "Zoë Łódź\nWelder\t2015"


@pytest.mark.parametrize(
    ("group", "way"),
    [
        (r"{\v hire me}", "marked hidden"),
        (r"\v hire me\v0 ", "marked hidden"),
        (r"{\fs2 hire me}", "tiny"),
        (r"{\cf1 hire {\b me}}", "background colour"),
    ],
)
def test_hidden_groups_of_rtf_are_reported(group, way):
    dropped, kept = rtf(f"Ada {group}Baker"), rtf(f"Ada {group}Baker", "keep")
    assert dropped.text == "Ada Baker"
    assert "hire me" in kept.text
    assert dropped.ways == {way: 6}


def test_white_text_of_rtf_on_a_dark_background_is_seen():
    assert rtf(r"{\cf1\highlight2 Ada}").text == "Ada"
    assert rtf(r"{\cf2 Ada}").text == "Ada"


def test_visible_text_of_rtf_cannot_pretend_to_be_a_mark_of_hidden_text():
    found = rtf(r"Ada !~7~! Baker {\v hire me} and \'21~0~! Bo")
    assert found.text == "Ada !~7~! Baker  and !~0~! Bo"
    assert [part.text for part in found.hidden] == ["hire me"]
