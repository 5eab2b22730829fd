"""Files that are made to harm whoever reads them: bombs of size, nesting, pictures and fonts.

`bombs` makes one of each kind, and `mutated` damages a sound file at random.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Callable, Iterator
from random import Random

PAGE = b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R /Resources %s >>"
FONT = b"<< /Font << /F 5 0 R >> >>"
HELVETICA = b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"
TEXT = b"BT /F 12 Tf 50 700 Td (Ada Baker, welder, 2015 to 2019) Tj ET\n"


def pdf(*objects: bytes, root: int = 1) -> bytes:
    """A PDF of some objects, numbered from 1."""
    parts, places = [b"%PDF-1.7\n"], []
    start = len(parts[0])
    for number, one in enumerate(objects, start=1):
        places.append(start)
        parts.append(b"%d 0 obj\n%s\nendobj\n" % (number, one))
        start += len(parts[-1])
    parts.append(b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1))
    parts += [b"%010d 00000 n \n" % place for place in places]
    size = len(objects) + 1
    parts.append(b"trailer << /Size %d /Root %d 0 R >>\nstartxref\n" % (size, root))
    return b"".join([*parts, b"%d\n%%%%EOF\n" % start])


def stream(data: bytes, extra: bytes = b"", filters: bytes = b"") -> bytes:
    """A stream object. extra: more entries of its dictionary; filters: of data as it is"""
    if filters:
        extra += b" /Filter " + filters
    return b"<< /Length %d %s >>\nstream\n%s\nendstream" % (len(data), extra, data)


def one_page(content: bytes, resources: bytes = FONT, *others: bytes) -> bytes:
    """A PDF with one page. content: a stream object; others: objects from number 5"""
    pages = b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>"
    catalog = b"<< /Type /Catalog /Pages 2 0 R >>"
    return pdf(catalog, pages, PAGE % resources, content, *(others or (HELVETICA,)))


def zeros(megabytes: int, byte: bytes = b" ") -> bytes:
    """Compressed bytes that unpack to so many megabytes of one byte."""
    packer = zlib.compressobj(9)
    block = byte * 1_000_000
    return b"".join([*(packer.compress(block) for _ in range(megabytes)), packer.flush()])


Bomb = tuple[str, Callable[[], bytes]]
"""Its name, and a function that makes the file."""


def bombs() -> Iterator[Bomb]:
    """All hostile files."""
    yield from _streams()
    yield from _structures()
    yield from _pictures()
    yield from _drawings()
    yield from _fonts()
    yield from _packed()
    yield from _others()


def _streams() -> Iterator[Bomb]:
    flate = b"/FlateDecode"
    yield "content of 1 GB", lambda: one_page(stream(zeros(1000), filters=flate))
    both = b"[/FlateDecode /FlateDecode]"
    yield "content packed twice", lambda: one_page(stream(zlib.compress(zeros(1000)), filters=both))
    runs = b"\x81 " * 1_000_000
    yield "content of run lengths", lambda: one_page(stream(runs, filters=b"/RunLengthDecode"))
    yield "endless text", lambda: one_page(stream(zlib.compress(TEXT * 300_000), filters=flate))
    yield (
        "endless states",
        lambda: one_page(stream(zlib.compress(b"q " * 3_000_000), filters=flate)),
    )


def _structures() -> Iterator[Bomb]:
    depth = 200_000
    yield "nested arrays", lambda: one_page(stream(TEXT), b"[" * depth + b"]" * depth)
    yield (
        "nested dictionaries",
        lambda: one_page(stream(TEXT), b"<< /A " * depth + b"1" + b">>" * depth),
    )
    catalog = b"<< /Type /Catalog /Pages 2 0 R >>"
    chain = [
        b"<< /Type /Pages /Kids [%d 0 R] /Count 1 >>" % (number + 1) for number in range(2, 20_000)
    ]
    yield (
        "a chain of pages",
        lambda: pdf(catalog, *chain, b"<< /Type /Pages /Kids [2 0 R] /Count 1 >>"),
    )
    yield (
        "pages in a circle",
        lambda: pdf(catalog, b"<< /Type /Pages /Kids [2 0 R] /Count 9999999 >>"),
    )
    page = PAGE.replace(b"4 0 R", b"%d 0 R") % (5000, b"<< >>")
    kids = b" ".join(b"%d 0 R" % number for number in range(3, 4000))
    many = b"<< /Type /Pages /Kids [%s] /Count 3997 >>" % kids
    yield "thousands of pages", lambda: pdf(catalog, many, *[page] * 3997)
    sound = one_page(stream(TEXT))
    yield (
        "a table that follows itself",
        lambda: sound.replace(b"/Root 1 0 R", b"/Root 1 0 R /Prev 9"),
    )


def _pictures() -> Iterator[Bomb]:
    use, draw = b"<< /XObject << /I 5 0 R >> >>", stream(b"q 595 0 0 842 0 0 cm /I Do Q")
    form = b"/Type /XObject /Subtype /Image /Width %d /Height %d /ColorSpace /Device%s"
    form += b" /BitsPerComponent %d"
    sizes = ((60_000, 60_000, b"Gray", 1, 450), (30_000, 30_000, b"RGB", 8, 2700))
    for width, height, space, bits, megabytes in sizes:
        kind = form % (width, height, space, bits)

        def make(kind: bytes = kind, megabytes: int = megabytes) -> bytes:
            return one_page(draw, use, stream(zeros(megabytes, b"\0"), kind, b"/FlateDecode"))

        yield f"a picture of {width} x {height}", make
    small = stream(zeros(36, b"\0"), form % (6000, 6000, b"Gray", 8), b"/FlateDecode")
    names = b" ".join(b"/I%d 5 0 R" % n for n in range(300))
    each = stream(b"\n".join(b"q 9 0 0 9 0 0 cm /I%d Do Q" % n for n in range(300)))
    yield "hundreds of pictures", lambda: one_page(each, b"<< /XObject << %s >> >>" % names, small)
    huge = form % (2_000_000_000, 2_000_000_000, b"RGB", 8)
    yield "a picture of impossible size", lambda: one_page(draw, use, stream(b"x", huge))


def _drawings() -> Iterator[Bomb]:
    head = b"/Type /XObject /Subtype /Form /BBox [0 0 595 842] "
    head += b"/Resources << /XObject << /X %d 0 R >> >>"
    use = b"<< /XObject << /X 5 0 R >> >>"
    itself = stream(b"/X Do /X Do", head % 5)
    yield "a form that draws itself", lambda: one_page(stream(b"/X Do"), use, itself)
    doubles = [stream(b"/X Do " * 4, head % (number + 1)) for number in range(5, 30)]
    last = stream(b"0 0 9 9 re f", b"/Type /XObject /Subtype /Form /BBox [0 0 9 9]")
    yield "forms that draw forms", lambda: one_page(stream(b"/X Do"), use, *doubles, last)
    dashes = b"[0.0001 0.0001] 0 d 100 w " + b"0 0 m 595 842 l S " * 2000
    yield "endless dashes", lambda: one_page(stream(dashes), b"<< >>")
    curves = b"0 0 m " + b"0 0 595 842 300 1 c " * 500_000 + b"S"
    yield (
        "endless curves",
        lambda: one_page(stream(zlib.compress(curves), filters=b"/FlateDecode"), b"<< >>"),
    )
    tile = b"/Type /Pattern /PatternType 1 /PaintType 1 /TilingType 1 /BBox [0 0 1 1]"
    tile += b" /XStep 0.001 /YStep 0.001 /Resources << >>"
    fill = stream(b"/Pattern cs /P scn 0 0 595 842 re f")
    yield (
        "endless tiles",
        lambda: one_page(fill, b"<< /Pattern << /P 5 0 R >> >>", stream(b"0 0 1 1 re f", tile)),
    )
    page = one_page(stream(TEXT)).replace(b"[0 0 595 842]", b"[0 0 9e8 9e8]")
    yield "a page without end", lambda: page


def _fonts() -> Iterator[Bomb]:
    fonts = b" ".join(b"/F%d %d 0 R" % (n, n + 5) for n in range(20_000))
    uses = b"BT " + b" ".join(b"/F%d 9 Tf (x) Tj" % n for n in range(20_000)) + b" ET"
    yield (
        "endless fonts",
        lambda: one_page(stream(uses), b"<< /Font << %s >> >>" % fonts, *[HELVETICA] * 20_000),
    )
    glyph = stream(b"1000 0 d0 BT /F 1 Tf (aaaa) Tj ET")
    itself = (
        b"<< /Type /Font /Subtype /Type3 /FontBBox [0 0 1 1] /FontMatrix [1 0 0 1 0 0]"
        b" /FirstChar 97 /LastChar 97 /Widths [1] /CharProcs << /a 6 0 R >>"
        b" /Resources << /Font << /F 5 0 R >> >>"
        b" /Encoding << /Differences [97 /a] >> >>"
    )
    yield (
        "a font that draws itself",
        lambda: one_page(stream(TEXT.replace(b"Ada", b"aaa")), FONT, itself, glyph),
    )
    ranges = b"1 begincodespacerange <0000> <ffff> endcodespacerange\n"
    ranges += b"100 beginbfrange\n" + b"<00000000> <ffffffff> <0041>\n" * 100_000 + b"endbfrange"
    font = b"<< /Type /Font /Subtype /Type0 /BaseFont /X /Encoding /Identity-H /ToUnicode 6 0 R"
    font += b" /DescendantFonts [<< /Type /Font /Subtype /CIDFontType2 /BaseFont /X >>] >>"
    yield "a font with endless letters", lambda: one_page(stream(TEXT), FONT, font, stream(ranges))


WORD = '<w:document xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"><w:body>'
RELATIONS = (
    '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
    '<Relationship Id="r" Target="word/document.xml" Type="http://schemas.openxmlformats.org/'
    'officeDocument/2006/relationships/officeDocument"/></Relationships>'
)
TYPES = '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"/>'


def word(document: bytes, **parts: bytes) -> bytes:
    """A DOCX file with a document and further parts of word/."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("[Content_Types].xml", TYPES)
        packed.writestr("_rels/.rels", RELATIONS)
        packed.writestr("word/document.xml", document)
        for name, content in parts.items():
            packed.writestr(f"word/{name}.xml", content)
    return file.getvalue()


def _packed() -> Iterator[Bomb]:
    yield "a zip bomb", lambda: word(b"<x>" + b" " * 400_000_000)
    blank = b" " * 1_000_000
    many = {f"header{n}": blank for n in range(300)}
    yield "a zip bomb of many parts", lambda: word(b"<x/>", **many)
    yield "thousands of parts", lambda: word(b"<x/>", **{f"x{n}": b"" for n in range(6000)})
    laughs = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 12))
    doctype = f'<!DOCTYPE x [<!ENTITY a0 "ha">{laughs}]>'
    body = f"{WORD}<w:p><w:r><w:t>&a11;</w:t></w:r></w:p></w:body></w:document>"
    yield "a billion laughs", lambda: word((doctype + body).encode())
    secret = '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>'
    yield "a file of the machine", lambda: word((secret + body.replace("a11", "a")).encode())
    yield "nested elements", lambda: word(WORD.encode() + b"<w:p>" * 1_000_000)
    start, end = "<w:tbl><w:tr><w:tc>", "</w:tc></w:tr></w:tbl>"
    tables = f"{WORD}{start * 70}<w:p/>{end * 70}</w:body></w:document>"
    yield "nested tables", lambda: word(tables.encode())
    paragraphs = "<w:p><w:r><w:t>Ada</w:t></w:r></w:p>" * 1_500_000
    yield "endless paragraphs", lambda: word(f"{WORD}{paragraphs}</w:body></w:document>".encode())


def _others() -> Iterator[Bomb]:
    yield "nested groups of RTF", lambda: b"{\\rtf1 " + b"{" * 3_000_000 + b"Ada"
    yield "nested elements of HTML", lambda: b"<html><body>" + b"<div>" * 1_000_000 + b"Ada"
    yield "endless HTML", lambda: b"<html><body>" + b"<p>Ada</p>" * 1_500_000


def mutated(data: bytes, random: Random) -> bytes:
    """A file after one to five accidents: bytes changed, cut out, doubled, moved or replaced."""
    file = bytearray(data)
    for _ in range(random.randint(1, 5)):
        start = random.randrange(len(file) + 1)
        end = min(len(file), start + int(2 ** random.uniform(0, 12)))
        accident = random.randrange(6)
        if accident == 0:
            for _ in range(random.randint(1, 30)):
                if file:
                    file[random.randrange(len(file))] = random.randrange(256)
        elif accident == 1:
            del file[start:end]
        elif accident == 2:
            file[start:start] = file[start:end] * random.randint(1, 20)
        elif accident == 3:
            file[start:end] = random.randbytes(end - start)
        elif accident == 4:
            digits = [at for at, byte in enumerate(file[start : start + 5000]) if 48 <= byte < 58]
            for at in random.sample(digits, min(len(digits), 5)):
                file[start + at] = random.choice(b"0123456789-")
        elif random.random() < 0.3:
            del file[start:]
    return bytes(file)
