"""PDF: CVs are read in order, wrapped lines are joined, and hidden text is found by the pixels."""

import io

import files
import pypdf
import pytest

from benchmarks.cv_files import (
    LAYOUTS,
    PHRASE,
    WAYS,
    cv_files,
    edits,
    hidden_files,
    similarity,
)
from jdcv_core.data.documents.reading import read_bytes
from research.experience.parsing import parse_cv

CLEAN = {file.layout: file for file in cv_files(len(LAYOUTS))}
HIDDEN = dict(hidden_files(1))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_generated_cv_is_read_in_order_with_all_dates_and_without_false_alarms(layout):
    file = CLEAN[layout]
    read = read_bytes(file.data, file.name)
    assert similarity(file, read.text) > 0.998
    assert not read.hidden
    assert {(e.dates.start, e.dates.end) for e in parse_cv(read.text).experiences} == {*file.months}


@pytest.mark.parametrize("way", WAYS)
def test_a_hidden_phrase_is_reported_and_left_out(way):
    file = HIDDEN[way]
    read = read_bytes(file.data, file.name)
    assert list(read.ways) == [way]
    assert similarity(file, read.text) > 0.998
    if way != "zero-width":
        assert [part.text.strip() for part in read.hidden] == [PHRASE]
    if file.name.endswith(".pdf"):
        assert [part.page for part in read.hidden] == [1]


SEEN = {
    "white on a dark area": "#block(fill: black, inset: 5pt)[#text(fill: white)[{}]]",
    "grey": "#text(fill: luma(200))[{}]",
    "three points": "#text(size: 3pt)[{}]",
    "half transparent": "#text(fill: rgb(0, 0, 0, 128))[{}]",
    "on a picture": "#block(fill: gradient.linear(blue, red))[#text(fill: white)[{}]]",
    "filled with a gradient": "#text(fill: gradient.linear(blue, red))[{}]",
    "thin signs": "{} – — - . · … | l i",
    "behind a tint": "#box[{}#place(top, rect(width: 80%, height: 9pt, fill: rgb(255, 0, 0, 40)))]",
    "rotated": "#rotate(90deg, reflow: true)[{}]",
    "large": "#text(size: 60pt)[{}]",
}


@pytest.mark.parametrize("look", SEEN)
def test_text_that_can_be_seen_is_not_called_hidden(look):
    read = files.read(files.pdf(SEEN[look].format("Ada Baker")))
    assert not read.hidden
    assert read.text.replace("\n", " ").startswith("Ada Baker")


UNSEEN = {
    "nearly white": ("#text(fill: luma(248))[{}]", "background colour"),
    "of its area": ("#block(fill: navy)[#text(fill: navy)[{}]]", "background colour"),
    "cut off": ("#box(clip: true, width: 50pt, height: 0pt)[{}]", "covered"),
    "behind other text": (
        "#box[{}#place(top + left, rect(width: 100%, height: 1.2em, fill: white))"
        "#place(top + left)[Ada Baker Smith]]",
        "covered",
    ),
    "white over black": ("#box[Ada Baker#place(top + left)[#text(fill: white)[{}]]]", ""),
}


@pytest.mark.parametrize("look", UNSEEN)
def test_text_that_cannot_be_seen_is_found_by_the_pixels(look):
    mark, way = UNSEEN[look]
    read = files.read(files.pdf("Welder\n\n" + mark.format("Unseen")))
    assert "Unseen" not in read.text
    assert [part.text.strip() for part in read.hidden] == ["Unseen"]
    assert way in read.hidden[0].way


def test_wrapped_lines_and_divided_words_are_joined_and_others_are_not():
    body = "#set text(hyphenate: true)\n#set par(justify: true)\n#block(width: 9cm)[{}]\n\n{}"
    long = "Administrative responsibility for extraordinary circumstances in organisations. " * 4
    read = files.read(files.pdf(body.format(long, "- Welding\n- Cooking\n- Self-employed")))
    first, *rest = read.text.split("\n")
    assert first == long.strip()
    assert [line.lstrip("•- ") for line in rest] == ["Welding", "Cooking", "Self-employed"]


def test_repeated_headers_are_kept_once_and_repeated_lines_of_the_text_are_kept():
    page = ", header: [Ada Baker], footer: context [Page #counter(page).display()]"
    read = files.read(files.pdf("Welder\n#pagebreak()\nWelder\n#pagebreak()\nCook", page))
    assert read.text == "Ada Baker\nWelder\nPage 1\nWelder\nCook"
    assert read.notes == ("lines repeated on every page are kept once: 4",)


@pytest.mark.parametrize("turn", [90, 180, 270])
def test_a_turned_page_is_read_as_it_is_shown(turn):
    data = files.pdf("#columns(2)[Ada Baker\n\nWelder\n\nGraz#colbreak()Cook\n\nLinz\n\nWien]")
    turned = files.changed(data, lambda writer: writer.pages[0].rotate(turn))
    plain, shown = files.read(data), files.read(turned)
    assert sorted(shown.text.split()) == sorted(plain.text.split())
    assert "Ada Baker" in shown.text
    assert not shown.hidden
    wide = shown.pages[0].width > shown.pages[0].height
    assert wide == (turn != 180)


def test_arabic_and_hebrew_are_read_from_right_to_left_and_latin_is_not():
    words = "مرحبا بالعالم 2015 - 2019"
    read = files.read(files.pdf(f'Ada Baker, welder in Graz\n\n#text(lang: "ar")[{words}]'))
    assert read.text.split("\n") == ["Ada Baker, welder in Graz", words]


def test_the_text_layer_of_a_scan_is_read_with_a_note():
    data = files.pdf(f"{files.SENTENCE}\n\n" * 9)

    def layer(writer):
        content = files.changed(data, lambda own: None)
        page = pypdf.PdfWriter(clone_from=io.BytesIO(content)).pages[0]
        text = pypdf.generic.DecodedStreamObject()
        text.set_data(page.get_contents().get_data().replace(b"BT 0 Tr", b"BT 3 Tr"))
        page[pypdf.generic.NameObject("/Contents")] = text
        writer.pages[0].merge_page(page)

    read = files.read(files.changed(files.scan(data), layer))
    assert read.text.startswith(files.SENTENCE)
    assert not read.hidden
    assert "page 1 is a scan" in read.notes[0]


def test_edits_are_those_of_the_plain_definition():
    from random import Random

    def plain(one, other):
        row = list(range(len(other) + 1))
        for i, a in enumerate(one, start=1):
            before, row[0] = row[0], i
            for j, b in enumerate(other, start=1):
                before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (a != b))
        return row[-1]

    random = Random(0)
    for _ in range(200):
        one, other = ("".join(random.choices("abc ", k=random.randint(0, 12))) for _ in "12")
        assert edits(one, other) == plain(one, other)
