"""A file is read in UTF-8 or in the encoding of its byte order mark, or refused by name."""

import json
from pathlib import Path

import pytest

from experiments.cli.text_files import read_header, read_text
from jdcv_core.data.sources import load_table, load_trec
from jdcv_core.data.text_folder import read_texts
from jdcv_core.errors import InputError
from research.retrieval.trec import read_qrels, read_run

MARKED = ["utf-8-sig", "utf-16", "utf-32"]
"""These codecs of Python write the mark."""
CV = "Développeur à Zürich, 2015 – 2019, 年"
COLUMNS = ["resume_text", "job_description_text", "label"]


@pytest.fixture(autouse=True)
def in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def big_endian(text, encoding):
    mark = "\ufeff".encode(encoding + "-be")
    return mark + text.encode(encoding + "-be")


def encoded(text):
    for encoding in ["utf-8", *MARKED]:
        yield text.encode(encoding)
    yield big_endian(text, "utf-16")
    yield big_endian(text, "utf-32")


def test_every_reader_reads_every_marked_encoding():
    rows = [[f"{CV}\nx", "a JD", "No Fit"], [f"{CV}\nx", "another", "Good Fit"]]
    table = "\n".join([",".join(COLUMNS), *(f'"{cv}",{jd},{label}' for cv, jd, label in rows)])
    lines = "\n".join(json.dumps(dict(zip(COLUMNS, row, strict=True))) for row in rows)
    for data in encoded(f"{CV}\nx"):
        Path("cv.txt").write_bytes(data)
        assert read_text(Path("cv.txt")) == f"{CV}\nx"
        Path("cvs").mkdir(exist_ok=True)
        Path("cvs/a.txt").write_bytes(data)
        assert read_texts("cvs") == {"a": f"{CV}\nx"}
    for name, content in (("pairs.csv", table), ("pairs.jsonl", lines)):
        for data in encoded(content):
            Path(name).write_bytes(data)
            texts = {d.text for d in load_table(name).documents.values()}
            assert texts == {f"{CV}\nx", "a JD", "another"}
    for data in encoded(table):
        Path("pairs.csv").write_bytes(data)
        assert read_header(Path("pairs.csv")) == COLUMNS
    for data in encoded("q 0 d 1\né 0 d 2\n"):
        Path("qrels.tsv").write_bytes(data)
        assert read_qrels("qrels.tsv") == {"q": {"d": 1}, "é": {"d": 2}}
    for data in encoded("q Q0 d 1 0.5 x\n"):
        Path("run.txt").write_bytes(data)
        assert read_run("run.txt") == {"q": {"d": 0.5}}


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1", "mac-roman", "cp437"])
def test_another_encoding_is_refused_with_file_byte_and_cure(encoding):
    line = "x é".encode(encoding)
    at, byte = 3, line[-1]
    Path("cvs").mkdir()
    for name in ("cv.txt", "cvs/a.txt"):
        Path(name).write_bytes(line)
    Path("pairs.csv").write_bytes(",".join(COLUMNS).encode() + b"\n" + line + b",a,No Fit\n")
    said = (
        f"not valid UTF-8: byte {at} is 0x{byte:02x}. Save the file as UTF-8, for example by iconv"
    )
    for read, name in (
        (lambda: read_text(Path("cv.txt")), "cv.txt"),
        (lambda: read_texts("cvs"), "cvs/a.txt"),
        (lambda: load_table("pairs.csv"), "pairs.csv, row 1 (line 2)"),
    ):
        with pytest.raises(InputError) as error:
            read()
        message = str(error.value)
        assert message.startswith(name)
        assert said in message
        assert "\n" not in message


@pytest.mark.parametrize(
    "data",
    [
        CV.encode("utf-16-le"),  # no mark
        CV.encode("utf-16")[:-1],  # cut inside a character
        b"\xff\xfe" + CV.encode("utf-8"),
        CV.encode()[:-1],
        b"a\0b",
        b"\xff\xfe\0\0abc",
    ],
)
def test_what_is_cut_or_unmarked_is_refused_by_name(data):
    Path("trec/corpus").mkdir(parents=True)
    Path("trec/queries").mkdir()
    Path("trec/queries/q").write_text("a JD")
    Path("trec/qrels.tsv").write_text("q 0 d 1")
    for name in ("cv.txt", "trec/corpus/d"):
        Path(name).write_bytes(data)
    with pytest.raises(InputError, match=r"^cv.txt"):
        read_text(Path("cv.txt"))
    with pytest.raises(InputError, match=r"^trec/corpus/d"):
        load_trec("trec")
