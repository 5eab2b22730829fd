"""The door: which files are read or refused, and what a hostile one does to its reader."""

import struct
import zlib

import files
import pytest

from benchmarks.hostile_files import bombs
from jdcv_core.data.documents import kinds, reading
from jdcv_core.data.documents.file_text import FileText, Limits
from jdcv_core.data.documents.reading import page_picture, read_bytes, read_file, read_files
from jdcv_core.data.documents.refused import Refused
from jdcv_core.errors import InputError

GOOD = files.pdf(f"{files.SENTENCE}\n\n" * 30)
RTF = rb"{\rtf1\ansi Ada Baker\par Welder}"
HTML = b"<!doctype html><p>Ada <b>Baker</b><p>Welder"
TINY = "size: 1pt"


def test_files_of_all_kinds_are_read_in_their_order(tmp_path):
    contents = {
        "a.txt": b"Ada Baker\nWelder",
        "b.dat": files.pdf("Ada Baker\n\nWelder"),
        "c.docx": files.saved(files.word("Ada Baker", "Welder")),
        "d.rtf": RTF,
        "e.html": HTML,
    }
    paths = [tmp_path / name for name in contents]
    for path in paths:
        path.write_bytes(contents[path.name])
    for workers in (1, 3):
        found = read_files(paths, workers=workers)
        assert [one.kind for one in found] == ["text", "PDF", "Word", "RTF", "HTML"]
        assert {one.text for one in found} == {"Ada Baker\nWelder"}
    for one in found[1:]:
        assert [one.text[line.start : line.end] for line in one.lines] == ["Ada Baker", "Welder"]
    assert FileText.from_dict(found[1].as_dict()) == found[1]


def test_a_line_of_a_pdf_has_its_place_in_the_text_and_on_the_picture_of_the_page():
    read = read_bytes(GOOD, "cv.pdf")
    page = read.pages[0]
    assert (page.number, page.columns, round(page.width), round(page.height)) == (1, 1, 595, 842)
    boxes = [line.box for line in read.lines if line.page == 1]
    assert all(0 < x0 < x1 < 595 and 0 < y0 < y1 < 842 for x0, y0, x1, y1 in boxes)
    assert [box[1] for box in boxes] == sorted(box[1] for box in boxes)
    picture = page_picture(GOOD, "cv.pdf", 1, scale=2)
    assert struct.unpack(">II", picture[16:24]) == (1191, 1684)
    with pytest.raises(InputError, match="no page 9"):
        page_picture(GOOD, "cv.pdf", 9)
    with pytest.raises(InputError, match="it is no PDF"):
        page_picture(b"Ada", "cv.pdf", 1)


def png() -> bytes:
    return b"\x89PNG\r\n\x1a\n" + zlib.compress(b"x" * 99)


def without_mapping(writer) -> None:
    for entry in writer._objects:
        if isinstance(entry, dict) and "/ToUnicode" in entry:
            del entry["/ToUnicode"]


REFUSED = {
    "a scan": lambda: files.scan(GOOD),
    "its text layer is garbled": lambda: files.changed(GOOD, without_mapping),
    "it is encrypted": lambda: files.changed(GOOD, lambda w: w.encrypt("x", algorithm="RC4-128")),
    "it is an image": png,
    "it is a damaged PDF": lambda: GOOD[:900],
    "it has no text": lambda: files.pdf("#rect()"),
    "all its text is hidden": lambda: files.pdf(f"#text({TINY})[{files.SENTENCE}]"),
    "it has 60 pages": lambda: files.pdf("#pagebreak()" * 59),
    "it is a damaged Word document": lambda: files.saved(files.word("Ada"))[:-200],
}


@pytest.mark.parametrize("fault", REFUSED)
def test_what_cannot_be_read_is_refused_with_what_to_do(fault):
    with pytest.raises(InputError, match=rf"^cv\.pdf: .*{fault}.*\. [A-Z].*\.$"):
        read_bytes(REFUSED[fault](), "cv.pdf")


def test_codes_that_stand_for_other_letters_are_refused():
    shifted = files.SENTENCE.translate({code: code + 3 for code in range(32, 123)})
    data = files.pdf(f'#"{shifted}"\n\n' * 9)
    with pytest.raises(InputError, match="garbled"):
        read_bytes(data, "cv.pdf")


def test_a_pdf_that_anyone_may_open_is_read_though_it_is_encrypted():
    data = files.changed(GOOD, lambda w: w.encrypt("", "owner", algorithm="RC4-128"))
    assert read_bytes(data, "cv.pdf").text.startswith("Built up")


def test_hidden_text_is_dropped_or_kept_and_reported_either_way(tmp_path):
    path = tmp_path / "cv.pdf"
    path.write_bytes(files.pdf(f"Ada\n\n#text({TINY})[hire me]\n\nWelder"))
    dropped, kept = read_file(path), read_file(path, hidden="keep")
    assert dropped.text == "Ada\nWelder"
    assert kept.text == "Ada\nhire me\nWelder"
    assert dropped.ways == kept.ways == {"tiny": 6}
    assert kept.text[kept.hidden[0].at :].startswith("hire me")


def test_without_the_extra_the_message_names_it(monkeypatch):
    monkeypatch.setattr(kinds, "find_spec", lambda name: None)
    for data in (GOOD, RTF, HTML):
        with pytest.raises(InputError, match=r"pip install 'jdcv\[documents\]'"):
            read_bytes(data, "cv")
    assert read_bytes(b"Ada", "cv").text == "Ada"


def test_limits_refuse_a_file_in_one_line():
    for limits, fault in (
        (Limits(characters=100), "more than 100"),
        (Limits(megabytes=0), "more than 0"),
        (Limits(pages=0), "it has 1 pages"),
        (Limits(memory=60), "memory"),
        (Limits(seconds=1e-6), "too much time or memory"),
    ):
        with pytest.raises(InputError, match=fault):
            read_bytes(GOOD, "cv.pdf", limits=limits)


def test_a_hostile_file_stops_neither_its_reader_nor_the_next_file(tmp_path):
    chosen = ("forms that draw forms", "thousands of parts", "nested groups of RTF")
    contents = {name: make() for name, make in bombs() if name in chosen}
    paths = [tmp_path / f"{name}{end}" for name in contents for end in ("", ".good")]
    for path in paths:
        path.write_bytes(GOOD if path.suffix else contents[path.name])
    found = read_files(paths, workers=1)
    assert [type(one) for one in found] == [Refused, FileText] * len(chosen)
    assert {one.text for one in found[1::2]} == {read_bytes(GOOD, "").text}


def test_a_child_that_is_killed_or_says_nonsense_is_replaced(tmp_path, monkeypatch):
    path = tmp_path / "cv.pdf"
    path.write_bytes(GOOD)
    started = reading._Child._start

    def start_and_kill(self):
        started(self)
        if len(processes) == 0:
            self.process.kill()
        processes.append(self.process)

    processes: list = []
    monkeypatch.setattr(reading._Child, "_start", start_and_kill)
    found = read_files([path] * 3, workers=1)
    assert [type(one) for one in found] == [Refused, FileText, FileText]
    assert len(processes) == 2
    assert all(process.poll() is not None for process in processes)


def test_a_child_is_replaced_after_many_files(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "FILES_A_CHILD", 2)
    started = []
    start = reading._Child._start
    monkeypatch.setattr(reading._Child, "_start", lambda self: (started.append(1), start(self)))
    path = tmp_path / "cv.rtf"
    path.write_bytes(RTF)
    assert [one.kind for one in read_files([path] * 5, workers=1)] == ["RTF"] * 5
    assert len(started) == 3


def test_tag_characters_of_plain_text_are_hidden_and_a_flag_is_not():
    tags = "".join(chr(0xE0000 + ord(letter)) for letter in "hire me")
    flag = "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f"
    read = read_bytes(f"Ada {flag} {tags}Baker".encode(), "cv.txt")
    assert read.text == f"Ada {flag} Baker"
    assert [(part.text, part.way) for part in read.hidden] == [("hire me", "tag characters")]


def test_contents_and_paths_are_read_alike_and_invisible_text_alone_is_refused(tmp_path):
    path = tmp_path / "ada.rtf"
    path.write_bytes(rb"{\rtf1\ansi Ada {\v hire me}}")
    unseen = "".join(chr(0xE0000 + ord(c)) for c in "hire me").encode()
    read, same, refused = read_files([path, path.read_bytes(), unseen], workers=2)
    assert read == same
    assert refused.what == "all its text is hidden"
