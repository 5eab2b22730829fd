"""Small files for tests: PDF by typst, DOCX by python-docx, and ways to damage them."""

import io
import tempfile
from pathlib import Path

import docx
import pypdf
import typst

from jdcv_core.data.documents.file_text import FileText, Limits
from jdcv_core.data.documents.pdf import read_pdf

SENTENCE = "Built up peer review from scratch, for editors of all journals."


def pdf(body: str, page: str = "") -> bytes:
    """A PDF of typst markup. page: settings of the page"""
    return typst.compile(f'#set page(paper: "a4"{page})\n#set text(size: 10pt)\n{body}'.encode())


def read(data: bytes, hidden: str = "drop") -> FileText:
    """The text of a PDF, read in this process."""
    return read_pdf(data, hidden, Limits(), lambda index: None)


def changed(data: bytes, change) -> bytes:
    """A PDF after `change(writer)`."""
    writer = pypdf.PdfWriter(clone_from=io.BytesIO(data))
    change(writer)
    file = io.BytesIO()
    writer.write(file)
    return file.getvalue()


def scan(data: bytes) -> bytes:
    """The first page of a PDF as a picture in a PDF."""
    from jdcv_core.data.documents.pdf import page_picture

    picture = page_picture(data, 1, 2.0)
    body = '#image("page.png", width: 100%, height: 100%)'
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "page.png").write_bytes(picture)
        (Path(folder) / "main.typ").write_text(f'#set page(paper: "a4", margin: 0pt)\n{body}')
        return typst.compile(Path(folder) / "main.typ")


def word(*paragraphs: str) -> docx.document.Document:
    document = docx.Document()
    for paragraph in paragraphs:
        document.add_paragraph(paragraph)
    return document


def saved(document: docx.document.Document) -> bytes:
    file = io.BytesIO()
    document.save(file)
    return file.getvalue()
