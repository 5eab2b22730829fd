"""Word: all parts of a document are read, and what it hides is reported."""

import re
import zipfile

import docx
import files
import pytest
from docx.enum.style import WD_STYLE_TYPE
from docx.oxml import parse_xml
from docx.oxml.ns import nsdecls, qn
from docx.shared import Pt, RGBColor
from lxml import etree

from benchmarks.cv_files import TEXT_BOX
from jdcv_core.data.documents.file_text import Limits
from jdcv_core.data.documents.reading import read_files
from jdcv_core.data.documents.refused import Refused
from jdcv_core.data.documents.word import read_word

WHITE = RGBColor(255, 255, 255)


def read(document, hidden="drop"):
    return read_word(files.saved(document), hidden, Limits())


def test_headers_tables_boxes_lists_and_footers_are_read_in_order():
    document = files.word("Ada Baker")
    document.sections[0].header.paragraphs[0].text = "Confidential"
    document.sections[0].footer.paragraphs[0].text = "Page 1"
    box = "".join(f"<w:p><w:r><w:t>{text}</w:t></w:r></w:p>" for text in ("Graz", "Linz"))
    document.paragraphs[0]._p.append(parse_xml(TEXT_BOX.format(nsdecls("w"), box)))
    row = document.add_table(rows=1, cols=2).rows[0]
    row.cells[0].text, row.cells[1].text = "2015 – 2019", "Welder"
    document.add_paragraph("Welding", style="List Bullet")
    assert read(document).text.split("\n") == [
        "Confidential", "Ada Baker", "Graz", "Linz", "2015 – 2019\tWelder", "Welding", "Page 1",
    ]  # fmt: skip


def test_the_cells_of_a_row_are_read_one_after_the_other_if_one_has_several_lines():
    document = files.word()
    row = document.add_table(rows=1, cols=2).rows[0]
    row.cells[0].text, row.cells[1].text = "2015", "Welder\nat Acme"
    assert read(document).text == "2015\nWelder\nat Acme"


def test_deleted_text_is_not_read_and_links_are_read_as_their_text():
    document = files.word("Ada")
    w = nsdecls("w")
    changes = (
        f"<w:del {w}><w:r><w:delText>gone</w:delText></w:r></w:del>",
        f"<w:ins {w}><w:r><w:t> Baker</w:t></w:r></w:ins>",
        f'<w:hyperlink {w} w:anchor="x"><w:r><w:t> online</w:t></w:r></w:hyperlink>',
        f'<w:r {w}><w:sym w:font="Symbol" w:char="03B1"/></w:r>',
    )
    for change in changes:
        document.paragraphs[0]._p.append(parse_xml(change))
    assert read(document).text == "Ada Baker onlineα"


def vanish(run, document):
    run.font.hidden = True


def white(run, document):
    run.font.color.rgb = WHITE


def one_point(run, document):
    run.font.size = Pt(1)


def by_style(run, document):
    style = document.styles.add_style("Secret", WD_STYLE_TYPE.CHARACTER)
    style.font.hidden = True
    derived = document.styles.add_style("Derived", WD_STYLE_TYPE.CHARACTER)
    derived.base_style = style
    run.style = derived


def by_paragraph_style(run, document):
    style = document.styles.add_style("Pale", WD_STYLE_TYPE.PARAGRAPH)
    style.font.color.rgb = RGBColor(250, 250, 250)
    run._parent.style = style


def as_its_shade(run, document):
    run.font.color.rgb = RGBColor(0, 0, 128)
    run._r.rPr.append(parse_xml(f'<w:shd {nsdecls("w")} w:val="clear" w:fill="000080"/>'))


HIDDEN = {
    vanish: "marked hidden",
    white: "background colour",
    one_point: "tiny",
    by_style: "marked hidden",
    by_paragraph_style: "background colour",
    as_its_shade: "background colour",
}


@pytest.mark.parametrize("hide", HIDDEN)
def test_hidden_runs_are_reported_where_they_are(hide):
    document = files.word("Ada ", "Welder")
    run = document.paragraphs[0].add_run("hire me")
    hide(run, document)
    dropped, kept = read(document), read(document, "keep")
    assert "hire me" not in dropped.text
    assert "hire me" in kept.text.split("\n")[0]
    for found in (dropped, kept):
        assert "hire me" in found.hidden[0].text
        assert set(found.ways) == {HIDDEN[hide]}


def test_white_text_is_seen_on_a_shade_and_doubted_in_a_table():
    document = files.word("Ada")
    run = document.add_paragraph().add_run("Experience")
    run.font.color.rgb = WHITE
    run._r.rPr.append(parse_xml(f'<w:shd {nsdecls("w")} w:val="clear" w:fill="000080"/>'))
    assert read(document).text == "Ada\nExperience"
    cell = document.add_table(rows=1, cols=1).rows[0].cells[0]
    cell.paragraphs[0].add_run("Education").font.color.rgb = WHITE
    found = read(document)
    assert found.text == "Ada\nExperience\nEducation"
    assert not found.hidden
    assert found.notes == ("9 characters are white and may be on a dark shape: they are kept",)


def letters(text):
    return re.sub(r"[\s•]+|\d+\)", "", text)


def letters_of(path):
    """All letters of the parts of a DOCX file, by its XML; a choice counts once."""
    w = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}t"
    found = ""
    with zipfile.ZipFile(path) as packed:
        for name in packed.namelist():
            if re.match(r"word/(document|header|footer|footnotes|endnotes)\d*\.xml", name):
                root = etree.fromstring(packed.read(name))
                for other in list(root.iter("{*}Fallback")):
                    other.getparent().remove(other)
                found += "".join(text.text or "" for text in root.iter(w))
    return letters(found)


def test_all_real_documents_are_read_with_all_their_letters(shared_data):
    paths = sorted((shared_data / "vacancy_resume_docx").glob("*.docx"))
    found = read_files(paths)
    assert len(found) == 65
    for path, one in zip(paths, found, strict=True):
        assert not isinstance(one, Refused), path
        count = len(letters(one.text)) + sum(one.ways.values())
        assert abs(count / len(letters_of(path)) - 1) < 0.02, path


def test_a_file_that_is_packed_but_no_document_is_refused():
    document = docx.Document()
    document.part._element.getparent()
    document.element.body.clear_content()
    with pytest.raises(Refused, match="it has no text"):
        read(document)
    assert qn("w:p")
