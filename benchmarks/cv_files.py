"""Files of CVs with known text: PDF by typst, DOCX by python-docx, in twelve layouts.

The people are those of the demo corpus. `cv_files` makes clean files, and `hidden_files` files in
which a phrase is hidden in each of eight ways. Fonts are those of the machine and of typst.
"""

from __future__ import annotations

import io
import re
import textwrap
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from random import Random

import docx
import pypdf
import typst
from docx.oxml import parse_xml
from docx.oxml.ns import nsdecls

from jdcv_core.data.demo.generate import DemoSettings, draw_world, write_documents
from jdcv_core.data.demo.latent import Person

FONTS = ("Libertinus Serif", "New Computer Modern", "DejaVu Sans", "DejaVu Serif")
HEADINGS = ("Summary", "Experience", "Education", "Additional information")
PHRASE = "Ideal candidate with twenty years of kernel engineering"
Months = tuple[int, int | None]
"""The first month of an experience, and the month after its last; None while it lasts."""


@dataclass(frozen=True)
class CV:
    """A person's CV. jobs: for each its header, its dates as written, and its duties;
    aside: the sections that a side bar may hold; months: of the experiences"""

    name: str
    title: str
    summary: tuple[str, ...]
    jobs: tuple[tuple[str, str, tuple[str, ...]], ...]
    aside: tuple[tuple[str, ...], ...]
    months: tuple[Months, ...]

    def lines(self, duties: int) -> list[str]:
        """The main part: the summary, and the jobs with so many duties each."""
        lines = ["Summary", *self.summary, "Experience"]
        for header, dates, own in self.jobs:
            lines += [header.format(dates=dates), *own[:duties]]
        return lines


@dataclass(frozen=True)
class File:
    """A file and what it says. layout: its kind; lines: its text in reading order; frame: lines of
    headers, footers and margins, whose place in the text is a matter of taste"""

    name: str
    layout: str
    data: bytes
    lines: tuple[str, ...]
    months: tuple[Months, ...]
    frame: tuple[str, ...] = ()


def people(count: int) -> list[CV]:
    """CVs of the demo corpus, taken apart."""
    settings = DemoSettings(cvs=count, jds=8)
    persons, jobs, world, bank = draw_world(settings)
    texts, _ = write_documents(settings, persons, jobs, world, bank)
    return [_taken_apart(text, person) for text, person in zip(texts, persons, strict=True)]


def _taken_apart(text: str, person: Person) -> CV:
    name, title, *lines = text.split("\n")
    sections: dict[str, list[str]] = {heading: [] for heading in HEADINGS}
    here = "Summary"
    for line in lines:
        if line in sections:
            here = line
        else:
            sections[here].append(line)
    headers = [f"{job.title.title()}, " for job in person.experiences]
    jobs: list[tuple[str, str, list[str]]] = []
    for line in sections["Experience"]:
        job = len(jobs)
        if job < len(headers) and line.endswith(f", {person.experiences[job].employer}"):
            employer = person.experiences[job].employer
            dates = line[len(headers[job]) : -len(employer) - 2]
            jobs.append((f"{headers[job]}{{dates}}, {employer}", dates, []))
        elif jobs:
            jobs[-1][2].append(line)
    months = [
        (job.start, None if at == 0 else job.end) for at, job in enumerate(person.experiences)
    ]
    aside = tuple((heading, *sections[heading]) for heading in HEADINGS[2:])
    done = tuple((header, dates, tuple(own)) for header, dates, own in jobs)
    return CV(name, title, tuple(sections["Summary"]), done, aside, tuple(months))


def cv_files(count: int = 120) -> list[File]:
    """`count` files, in turn of each layout of LAYOUTS."""
    makers = list(LAYOUTS.items())
    files = []
    for at, cv in enumerate(people(count)):
        layout, make = makers[at % len(makers)]
        data, lines, frame = make(cv, FONTS[at // len(makers) % len(FONTS)], at)
        end = "docx" if data.startswith(b"PK") else "pdf"
        name = f"{at:03d}-{layout.replace(' ', '-').replace(',', '')}.{end}"
        files.append(File(name, layout, data, tuple(lines), cv.months, tuple(frame)))
    return files


Made = tuple[bytes, Sequence[str], Sequence[str]]
"""The file, its lines and its frame."""


def _text(line: str, style: str = "") -> str:
    quoted = line.replace("\\", "\\\\").replace('"', '\\"')
    return f'#text({style})[#"{quoted}"]' if style else f'#"{quoted}"'


def _paragraphs(lines: Sequence[str]) -> str:
    """Lines as paragraphs; headings are large."""
    large = 'size: 1.2em, weight: "bold"'
    return "\n\n".join(_text(line, large if line in HEADINGS else "") for line in lines)


def _compiled(body: str, font: str, page: str = "", text: str = "") -> bytes:
    head = f'#set page(paper: "a4", margin: 2cm{", " + page if page else ""})\n'
    head += f'#set text(font: "{font}", size: 10pt{", " + text if text else ""})\n'
    return typst.compile((head + "#set par(spacing: 0.9em)\n" + body).encode())


def _whole(cv: CV, duties: int = 99) -> list[str]:
    return [cv.name, cv.title, *cv.lines(duties), *(line for part in cv.aside for line in part)]


def one_column(cv: CV, font: str, at: int) -> Made:
    lines = _whole(cv)
    return _compiled(_paragraphs(lines), font), lines, ()


def two_columns(cv: CV, font: str, at: int) -> Made:
    lines = _whole(cv)
    body = _paragraphs(lines[:2]) + f"\n#columns(2, gutter: 18pt)[\n{_paragraphs(lines[2:])}\n]"
    return _compiled(body, font, text="hyphenate: true"), lines, ()


def side_bar(cv: CV, font: str, at: int) -> Made:
    """A dark side bar with white text, left or right, on one page."""
    contact = [cv.name, "Contact", "ada@example.org", "+43 660 1234567", "Graz"]
    bar = [*contact, *(line for part in cv.aside for line in part)]
    right = at // len(LAYOUTS) % 2 == 1
    for duties in range(9, 0, -1):
        main = [cv.title, *cv.lines(duties)]
        cells = [
            f'block(fill: rgb("#1f3a5f"), inset: 8pt)[#set text(fill: white)\n{_paragraphs(bar)}]',
            f"[{_paragraphs(main)}]",
        ]
        widths = "(1fr, 32%)" if right else "(32%, 1fr)"
        body = (
            f"#grid(columns: {widths}, gutter: 14pt, {', '.join(cells[::-1] if right else cells)})"
        )
        data = _compiled(body, font)
        if len(pypdf.PdfReader(io.BytesIO(data)).pages) == 1:
            break
    return data, [*main, *bar] if right else [*bar, *main], ()


def drawn_by_row(cv: CV, font: str, at: int) -> Made:
    """Two columns that are drawn line by line across the page, as programs for scans do."""
    wrapped = [part for line in _whole(cv, 3) for part in textwrap.wrap(line, 40)]
    half = -(-len(wrapped) // 2)
    rows = zip(wrapped[:half], wrapped[half:] + [""], strict=False)
    step = min(13.0, 720 / half)
    parts = []
    for number, row in enumerate(rows):
        for line, x in zip(row, (0, 265), strict=True):
            place = f"#place(top + left, dx: {x}pt, dy: {step * number:.1f}pt)"
            parts.append(f"{place}[{_text(line, f'size: {min(9.0, 0.75 * step):.1f}pt')}]")
    return _compiled("\n".join(parts), "DejaVu Sans"), wrapped, ()


def bar_drawn_last(cv: CV, font: str, at: int) -> Made:
    """A side bar on the left that the file draws after the main part."""
    data, lines, frame = side_bar(cv, font, 0)
    bar = [cv.name, "Contact", "ada@example.org", *(line for part in cv.aside for line in part)]
    for duties in range(9, 0, -1):
        main = [cv.title, *cv.lines(duties)]
        body = f"#pad(left: 6cm)[{_paragraphs(main)}]\n#place(top + left, block(width: 5.4cm)["
        data = _compiled(f"{body}{_paragraphs(bar)}])", font)
        if len(pypdf.PdfReader(io.BytesIO(data)).pages) == 1:
            break
    return data, [*bar, *main], ()


def table(cv: CV, font: str, at: int) -> Made:
    """The jobs as rows of a table: dates, then what was done."""
    cells, lines = [], [cv.name, cv.title, "Summary", *cv.summary, "Experience"]
    for header, dates, duties in cv.jobs:
        own = [header.format(dates="").replace(", , ", ", "), *duties]
        cells += [f"[{_text(dates)}]", f"[{_paragraphs(own)}]"]
        lines += [dates, *own]
    rest = [line for part in cv.aside for line in part]
    body = _paragraphs(lines[: lines.index("Experience") + 1])
    body += f"\n#table(columns: (auto, 1fr), stroke: none, {', '.join(cells)})\n{_paragraphs(rest)}"
    return _compiled(body, font), [*lines, *rest], ()


def header_and_footer(cv: CV, font: str, at: int) -> Made:
    lines = _whole(cv)
    frame = (f"{cv.name} - confidential", "Page")
    page = f"header: [{_text(frame[0])}], footer: context [Page #counter(page).display()]"
    return _compiled(_paragraphs(lines), font, page), lines, frame


def ligatures(cv: CV, font: str, at: int) -> Made:
    """Justified and hyphenated text with many ligatures."""
    extra = "Efficient office workflows, first-class fluency and official certificates."
    lines = [*_whole(cv), *[extra] * 4]
    body = f"#set par(justify: true)\n{_paragraphs(lines)}"
    return _compiled(body, FONTS[at // len(LAYOUTS) % 2], text="hyphenate: true"), lines, ()


def rotated(cv: CV, font: str, at: int) -> Made:
    """Text that is written upwards in the margin, on each page."""
    lines, frame = _whole(cv), ("Curriculum vitae",)
    turned = f"rotate(-90deg, reflow: true)[{frame[0]}]"
    page = f"background: place(left + horizon, dx: 0.6cm, {turned})"
    return _compiled(_paragraphs(lines), font, page), lines, frame


ABROAD = {
    "German": (
        "Berufserfahrung", "heute", "Januar Februar März April Mai Juni Juli August September "
        "Oktober November Dezember", "Verantwortlich für Qualität, Prüfungen und Übergaben.",
    ),
    "French": (
        "Expérience professionnelle", "aujourd’hui", "janvier février mars avril mai juin juillet "
        "août septembre octobre novembre décembre", "Chargé d’études, élève à Orléans, à l’œuvre.",
    ),
    "Spanish": (
        "Experiencia laboral", "actualidad", "enero febrero marzo abril mayo junio julio agosto "
        "septiembre octubre noviembre diciembre", "Dirección del diseño y de señales en España.",
    ),
    "Polish": (
        "Doświadczenie", "obecnie", "styczeń luty marzec kwiecień maj czerwiec lipiec sierpień "
        "wrzesień październik listopad grudzień", "Zarządzanie zespołem i ścisła współpraca.",
    ),
    "Russian": (
        "Опыт работы", "настоящее время", "январь февраль март апрель май июнь июль август "
        "сентябрь октябрь ноябрь декабрь", "Отвечал за проверки, отчёты и обучение.",
    ),
}  # fmt: skip
"""Language → heading of experiences, now, months, and a sentence."""


def abroad(cv: CV, font: str, at: int) -> Made:
    """A CV in German, French, Spanish, Polish or Russian."""
    heading, now, months, sentence = list(ABROAD.values())[at // len(LAYOUTS) % len(ABROAD)]
    lines = [cv.name, heading]
    for (header, _, _), (start, end) in zip(cv.jobs, cv.months, strict=True):
        first = f"{months.split()[(start) % 12]} {start // 12}"
        last = now if end is None else f"{months.split()[end % 12]} {end // 12}"
        lines += [header.format(dates=f"{first} – {last}"), *[sentence] * 4]
    return _compiled(_paragraphs(lines), FONTS[2 + at % 2]), lines, ()


def word(cv: CV, font: str, at: int) -> Made:
    """A Word document with header, footer and the jobs in a table."""
    document = docx.Document()
    frame = (f"{cv.name} - confidential", "Page 1")
    document.sections[0].header.paragraphs[0].text = frame[0]
    document.sections[0].footer.paragraphs[0].text = frame[1]
    lines = [cv.name, cv.title, "Summary", *cv.summary, "Experience"]
    for line in lines:
        document.add_paragraph(line)
    cells = document.add_table(rows=0, cols=2)
    for header, dates, duties in cv.jobs:
        own = [header.format(dates="").replace(", , ", ", "), *duties]
        row = cells.add_row().cells
        row[0].text, row[1].text = dates, "\n".join(own)
        lines += [dates, *own]
    rest = [line for part in cv.aside for line in part]
    for line in rest:
        document.add_paragraph(line, style="List Bullet")
    return _saved(document), [*lines, *rest], frame


TEXT_BOX = (
    '<w:r {0}><w:pict><v:shape xmlns:v="urn:schemas-microsoft-com:vml"><v:textbox><w:txbxContent>'
    "{1}</w:txbxContent></v:textbox></v:shape></w:pict></w:r>"
)


def word_columns(cv: CV, font: str, at: int) -> Made:
    """A Word document with a text box as side bar, and two columns."""
    document = docx.Document()
    bar = [line for part in cv.aside for line in part]
    paragraphs = "".join(f"<w:p><w:r><w:t>{line}</w:t></w:r></w:p>" for line in bar)
    first = document.add_paragraph(cv.name)
    first._p.append(parse_xml(TEXT_BOX.format(nsdecls("w"), paragraphs)))
    main = [cv.title, *cv.lines(99)]
    for line in main:
        document.add_paragraph(line)
    columns = document.sections[0]._sectPr.xpath("./w:cols")[0]
    columns.set(docx.oxml.ns.qn("w:num"), "2")
    return _saved(document), [cv.name, *bar, *main], ()


def _saved(document: docx.document.Document) -> bytes:
    file = io.BytesIO()
    document.save(file)
    return file.getvalue()


LAYOUTS: dict[str, Callable[[CV, str, int], Made]] = {
    "one column": one_column,
    "two columns": two_columns,
    "side bar": side_bar,
    "two columns, by row": drawn_by_row,
    "side bar, drawn last": bar_drawn_last,
    "table": table,
    "header and footer": header_and_footer,
    "ligatures": ligatures,
    "rotated": rotated,
    "abroad": abroad,
    "Word": word,
    "Word, columns": word_columns,
}
COLUMNS = ("two columns", "side bar", "two columns, by row", "side bar, drawn last")
"""Layouts with two columns on a page."""


def hidden_files(each: int = 15, seed: int = 0) -> Iterator[tuple[str, File]]:
    """Files in which PHRASE is hidden: the way, and the file with its visible lines."""
    random = Random(seed)
    for at, cv in enumerate(people(each * len(WAYS))):
        way, make = list(WAYS.items())[at % len(WAYS)]
        lines = _whole(cv, 4)
        data = make(lines, random.randrange(3, len(lines)), FONTS[at % len(FONTS)])
        end = "docx" if data.startswith(b"PK") else "pdf"
        name = f"{at:03d}-{re.sub(r'[^a-z]+', '-', way)}.{end}"
        yield way, File(name, way, data, tuple(lines), cv.months)


def _in_pdf(mark: str) -> Callable[[Sequence[str], int, str], bytes]:
    """A maker of PDFs; `mark` is the typst code that hides {}."""

    def make(lines: Sequence[str], at: int, font: str) -> bytes:
        parts = [_paragraphs(lines[:at]), mark.format(_text(PHRASE)), _paragraphs(lines[at:])]
        return _compiled("\n\n".join(parts), font)

    return make


def _not_drawn(lines: Sequence[str], at: int, font: str) -> bytes:
    """Text in PDF's render mode 3, in a layer on top of the page."""
    below = pypdf.PdfWriter(clone_from=io.BytesIO(_compiled(_paragraphs(lines), font)))
    move = f"#v({20 * at % 600}pt)\n"
    above = pypdf.PdfWriter(clone_from=io.BytesIO(_compiled(move + _text(PHRASE), font)))
    content = above.pages[0].get_contents()
    drawn = pypdf.generic.DecodedStreamObject()
    drawn.set_data(content.get_data().replace(b"BT 0 Tr", b"BT 3 Tr"))
    above.pages[0][pypdf.generic.NameObject("/Contents")] = above._add_object(drawn)
    below.pages[0].merge_page(above.pages[0])
    file = io.BytesIO()
    below.write(file)
    return file.getvalue()


def _in_word(change: Callable[[docx.text.run.Run], None]) -> Callable[..., bytes]:
    """A maker of DOCX; `change` hides a run with PHRASE."""

    def make(lines: Sequence[str], at: int, font: str) -> bytes:
        document = docx.Document()
        for number, line in enumerate(lines):
            paragraph = document.add_paragraph(line)
            if number == at:
                change(paragraph.add_run(PHRASE))
        return _saved(document)

    return make


def _vanish(run: docx.text.run.Run) -> None:
    run.font.hidden = True


def _tags(run: docx.text.run.Run) -> None:
    run.text = "".join(chr(0xE0000 + ord(letter)) for letter in PHRASE)


def _zero_width(run: docx.text.run.Run) -> None:
    bits = "".join(f"{ord(letter):08b}" for letter in PHRASE)
    run.text = bits.translate({48: "\u200b", 49: "\u200c"})


WAYS: dict[str, Callable[[Sequence[str], int, str], bytes]] = {
    "background colour": _in_pdf("#text(fill: white)[{}]"),
    "tiny": _in_pdf("#text(size: 1pt)[{}]"),
    "off the page": _in_pdf("#place(dx: 700pt)[{}]"),
    "covered": _in_pdf("#box[{}#place(top + left, rect(width: 100%, height: 1.4em, fill: white))]"),
    "not drawn": _not_drawn,
    "zero-width": _in_word(_zero_width),
    "tag characters": _in_word(_tags),
    "marked hidden": _in_word(_vanish),
}
"""The ways that are found, each with a maker of a file that uses it."""


def similarity(file: File, text: str) -> float:
    """The edit similarity of a text to what a file says, without its frame."""
    said = " ".join(file.lines)
    for line in file.frame:
        text = text.replace(line, " ")
    one, other = (" ".join(t.replace("•", " ").split()) for t in (said, text))
    return 1 - edits(one, other) / max(len(one), len(other), 1)


def edits(one: str, other: str) -> int:
    """The least number of insertions, deletions and replacements of characters, by the bit vectors
    of Myers (1999), as Hyyrö (2003) writes them.

    >>> edits("kitten", "sitting")
    3
    """
    if not one:
        return len(other)
    places: dict[str, int] = defaultdict(int)
    for at, letter in enumerate(one):
        places[letter] |= 1 << at
    full, last = (1 << len(one)) - 1, 1 << (len(one) - 1)
    plus, minus, distance = full, 0, len(one)
    for letter in other:
        match = places.get(letter, 0)
        down = (((match & plus) + plus) ^ plus) | match | minus
        rises, falls = minus | ~(down | plus) & full, plus & down
        distance += bool(rises & last) - bool(falls & last)
        rises, falls = rises << 1 | 1, falls << 1
        plus, minus = (falls | ~(down | rises)) & full, rises & down & full
    return distance
