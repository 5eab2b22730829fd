"""A folder of texts: which files are documents, and what is no text is refused at once."""

import gzip
import io
import unicodedata
import zipfile

import pytest

from jdcv_core.data.documents.kinds import kind_of
from jdcv_core.data.sources import load_trec
from jdcv_core.data.text_folder import (
    composed,
    document_files,
    list_folder,
    read_texts,
    spelled,
)
from jdcv_core.errors import InputError

NFC, NFD = (unicodedata.normalize(form, "Zoë Łuczak") for form in ("NFC", "NFD"))


def packed(name: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("[Content_Types].xml", "<x/>")
        archive.writestr(name, "<x/>")
    return file.getvalue()


OTHERS = {
    "a packed file (ZIP, DOCX or another)": packed("cv.txt"),
    "an Office document": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"x" * 600,
    "XML": b"<?xml version='1.0'?><cv>Ada</cv>",
    "PostScript": b"%!PS-Adobe-3.0\n",
    "LaTeX": b"% a CV\n\\documentclass{moderncv}\n",
    "a saved e-mail": b"From: Ada <a@b>\nSubject: CV\nMIME-Version: 1.0\n\nHello",
    "an image": b"\x89PNG\r\n\x1a\nxx",
    "an image ": b"\xff\xd8\xff\xe0\x00\x10JFIF",
    "an image  ": b"GIF89a...",
    "an image   ": b"\0\0\0\x18ftypheic",
    "a packed file": gzip.compress(b"Ada"),
}
TEXTS = [
    "PDF, RTF and DOCX: I can convert all of them. %PDF is a magic number.",
    "BMW since 2015. PK Systems before.",
    "MZ Consulting. This program ran for years.",
    "Subject: application\nDear Sir or Madam,",
    "From: 2015\nto: 2019\nWelder",
    "<b>Ada</b> knows <html>",
    "{Ada} \\rtf is a control word",
    "GIF artist",
    "II* Corp",
]


@pytest.mark.parametrize("kind", OTHERS)
def test_other_kinds_than_text_are_known_by_their_first_bytes_whatever_the_name(kind, tmp_path):
    (tmp_path / "ada.txt").write_bytes(OTHERS[kind])
    with pytest.raises(InputError, match=r"ada\.txt: it is ") as raised:
        read_texts(tmp_path)
    assert f"it is {kind.strip()}" in str(raised.value)
    assert any(cure in str(raised.value) for cure in ("ext (.txt)", "Unpack it"))


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_about_files_is_a_text(text):
    assert kind_of(text.encode()) == "text"


READ = {
    "PDF": (b"%PDF-1.7\nAda", b"\r\n junk %PDF-1.4\n\xe2\xe3"),
    "RTF": (rb"{\rtf1\ansi\deff0 {\fonttbl} Ada}", b"\xef\xbb\xbf\n{\\rtf1 Ada}"),
    "Word": (packed("word/document.xml"),),
    "HTML": (b"<!DOCTYPE html>\n<html>Ada</html>", b"\n <!-- made by x -->\n<HTML lang=de>Ada"),
}


@pytest.mark.parametrize("kind", READ)
def test_kinds_that_are_read_are_known_by_their_first_bytes(kind):
    assert {kind_of(data) for data in READ[kind]} == {kind}


def test_all_bad_files_are_reported_at_once_with_a_line_each(tmp_path):
    (tmp_path / "good.txt").write_text("Ada")
    (tmp_path / "a.txt").write_text("  \n")
    (tmp_path / "b.rtf").write_bytes(b"{\\rtf1 }")
    (tmp_path / "c").symlink_to("nowhere")
    (tmp_path / "good").write_text("Bo")
    with pytest.raises(InputError) as raised:
        read_texts(tmp_path)
    first, *lines = str(raised.value).splitlines()
    assert first == f"{tmp_path}: 4 files cannot be used."
    assert len(lines) == 4
    for part in (
        "good and good.txt have the same id 'good'. Rename one of them.",
        "a.txt: the text is empty. Give its text or remove the file.",
        "b.rtf: it has no text. Open it in a writer, and save what you see as text (.txt).",
        "c: it is no plain file (a broken link, a pipe or a device). Remove it.",
    ):
        assert sum(part in line for line in lines) == 1
    assert "row" not in str(raised.value).replace(str(tmp_path), "")


def test_many_bad_files_are_counted(tmp_path):
    for n in range(25):
        (tmp_path / f"{n}.txt").touch()
    with pytest.raises(InputError) as raised:
        read_texts(tmp_path)
    lines = str(raised.value).splitlines()
    assert lines[0].endswith("25 files cannot be used.")
    assert lines[-1] == "  and 5 more"
    assert len(lines) == 22


def test_sub_folders_are_read_and_links_do_not_loop(tmp_path):
    for name in ("ada.txt", "2024/bo.txt", "2024/may/cy", ".git/config", "2024/.hidden"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"text of {name}")
    (tmp_path / "2024" / "up").symlink_to(tmp_path)
    outside = tmp_path.parent / f"{tmp_path.name} outside"
    outside.mkdir()
    (outside / "dee.txt").write_text("Dee")
    (tmp_path / "linked").symlink_to(outside)
    found = list_folder(tmp_path)
    assert set(found.files) == {"ada", "2024/bo", "2024/may/cy", "linked/dee"}
    assert sorted(found.left_out) == [".git", "2024/.hidden"]
    assert read_texts(tmp_path)["2024/bo"] == "text of 2024/bo.txt"


def test_names_that_differ_only_in_their_form_of_unicode_are_one_id(tmp_path):
    (tmp_path / f"{NFD}.txt").write_text("Zoë")
    assert list(document_files(tmp_path)) == [NFC]
    assert spelled(tmp_path / f"{NFC}.txt").read_text() == "Zoë"
    assert composed(NFD) == NFC
    (tmp_path / NFC).write_text("Zoë")
    with pytest.raises(InputError, match="have the same id"):
        document_files(tmp_path)


def test_a_path_is_found_in_any_form_of_unicode_also_of_its_folders(tmp_path):
    (tmp_path / NFD / "jds").mkdir(parents=True)
    assert spelled(tmp_path / NFC / "jds").is_dir()
    assert spelled(tmp_path / "nowhere" / "x") == tmp_path / "nowhere" / "x"


def test_judgements_name_documents_in_any_form_of_unicode(tmp_path):
    name = NFC.replace(" ", "-")
    for kind, form in (("corpus", "NFD"), ("queries", "NFC")):
        (tmp_path / kind).mkdir()
        (tmp_path / kind / unicodedata.normalize(form, name)).write_text(f"text of {kind}")
    other = unicodedata.normalize("NFD", name)
    (tmp_path / "corpus" / "bo").write_text("another text")
    lines = f"{other} 0 {name} 2\n{name} 0 bo 0\n"
    (tmp_path / "qrels.tsv").write_text(lines, encoding="utf-8")
    assert sorted(pair.label for pair in load_trec(tmp_path).pairs) == [0, 2]


@pytest.mark.parametrize("name", ["a\nb.txt", "a\tb", "caf\udce9.txt"])
def test_a_name_that_no_list_can_show_is_refused(tmp_path, name):
    (tmp_path / name).write_text("Ada")
    with pytest.raises(InputError, match=r"is not plain text\. Rename it\."):
        read_texts(tmp_path)
