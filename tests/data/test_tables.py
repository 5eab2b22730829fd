"""Reading files: what was written comes back, and what is broken is reported with its row."""

import csv
import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jdcv_core.data.tables import is_unicode, read_table
from jdcv_core.errors import InputError

# Everything but surrogates, with the characters that CSV is about made frequent.
TEXTS = st.text(st.one_of(st.sampled_from('",\n\r;\t a'), st.characters(exclude_categories=["Cs"])))
RECORDS = st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=8)


def write(folder, suffix, records, names=("a", "b")):
    path = folder / f"records{suffix}"
    if suffix == ".csv":
        with path.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file, quoting=csv.QUOTE_ALL).writerows([names, *records])
    elif suffix == ".parquet":
        columns = list(zip(*records, strict=True))
        pq.write_table(pa.table(dict(zip(names, map(list, columns), strict=True))), path)
    else:
        lines = (json.dumps(dict(zip(names, r, strict=True))) + "\n" for r in records)
        path.write_text("".join(lines), encoding="utf-8")
    return path


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".json", ".parquet"])
@given(records=RECORDS)
def test_what_was_written_comes_back_in_order(tmp_path_factory, suffix, records):
    path = write(tmp_path_factory.mktemp("t"), suffix, records)
    read = list(read_table(path, ["b", "a"]))
    assert [values for _, values in read] == [(b, a) for a, b in records]
    assert [place.split(" (")[0] for place, _ in read] == [
        f"row {n}" for n in range(1, len(records) + 1)
    ]


@given(RECORDS)
def test_the_line_of_a_csv_row_is_where_an_editor_shows_it(tmp_path_factory, records):
    records = [(a.replace("\r", ""), b.replace("\r", "")) for a, b in records]
    path = write(tmp_path_factory.mktemp("t"), ".csv", records)
    expected = 2
    for (place, _), (a, b) in zip(read_table(path, ["a"]), records, strict=True):
        assert place.endswith(f"(line {expected})")
        expected += 1 + a.count("\n") + b.count("\n")


def test_byte_order_mark_empty_lines_and_line_ends(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes(b'\xef\xbb\xbfa,b\r\n1,"x\r\ny"\r\n\r\n2,z\r\n')
    assert list(read_table(path, ["a", "b"])) == [
        ("row 1 (line 2)", ("1", "x\r\ny")),
        ("row 2 (line 5)", ("2", "z")),
    ]
    path = tmp_path / "t.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"a": 1}\n\n{"a": null}')
    assert list(read_table(path, ["a"])) == [("row 1", (1,)), ("row 2", (None,))]


def test_a_field_of_megabytes_is_read_whole(tmp_path):
    long = "word " * 1_000_000
    for suffix in (".csv", ".jsonl", ".parquet"):
        [(_, (text,))] = read_table(write(tmp_path, suffix, [(long, "b")]), ["a"])
        assert text == long


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_invalid_utf8_comes_through_for_the_caller_to_name(tmp_path, suffix):
    path = tmp_path / f"t{suffix}"
    if suffix == ".parquet":
        raw = pa.array([b"fine", b"caf\xe9"], pa.binary())
        # A view of the bytes as text: arrow does not look whether it is UTF-8.
        text = pa.StringArray.from_buffers(2, raw.buffers()[1], raw.buffers()[2])
        pq.write_table(pa.table({"a": text}), path)
    else:
        lines = {".csv": b"a\nfine\ncaf\xe9\n", ".jsonl": b'{"a": "fine"}\n{"a": "caf\xe9"}\n'}
        path.write_bytes(lines[suffix])
    assert [is_unicode(text) for _, (text,) in read_table(path, ["a"])] == [True, False]


def test_dictionary_encoded_and_binary_parquet_columns_are_texts(tmp_path):
    path = tmp_path / "t.parquet"
    coded = pa.array(["x", "y", "x"]).dictionary_encode()
    pq.write_table(pa.table({"a": coded, "b": pa.array([b"1", b"2", None])}), path)
    values = [v for _, v in read_table(path, ["a", "b"])]
    assert values == [("x", "1"), ("y", "2"), ("x", None)]


def parquet_bytes():
    buffer = io.BytesIO()
    pq.write_table(pa.table({"a": ["x" * 100] * 1000, "b": ["y"] * 1000}), buffer)
    return buffer.getvalue()


BROKEN = {
    "empty.csv": (b"", "the file is empty"),
    "binary.csv": (bytes(range(256)) * 9, "binary file, or text that is not UTF-8"),
    "utf16.csv": ("a,b\n1,2\n".encode("utf-16-le"), "binary file, or text that is not UTF-8"),
    "cut16.csv": ("a,b\n1,2\n".encode("utf-16")[:-1], "begins as UTF-16 and is not.*Save it as"),
    "zip.csv": (b"PK\x03\x04\x14\x00\x06\x00rest", "binary file"),
    "open.csv": (b'a,b\n1,2\n3,"4\n5,6\n', r"row 2 \(line 3\): its quotes or fields are broken"),
    "quotes.csv": (b'a,b\n1,"2"x\n', r"row 1 \(line 2\): its quotes or fields are broken"),
    "header.csv": (b'"a,b\n1,2\n', r"header \(line 1\): its quotes"),
    "ragged.csv": (b"a,b\n1,2\n3,4,5\n", r"row 2 \(line 3\): it has 3 fields, the header has 2"),
    "short.csv": (b"a,b\n1\n", r"row 1 \(line 2\): it has 1 fields"),
    "names.csv": (b"A,bb\n1,2\n", "no column 'a'.*Known: A, bb"),
    "twice.csv": (b"a,b,a\n1,2,3\n", "2 columns are called 'a'"),
    "text.jsonl": (b'{"a": 1, "b": 2}\nhello\n', "row 2: it is not a JSON object"),
    "cut.jsonl": (b'{"a": 1, "b": 2}\n{"a": 1, "b', "row 2: it is not a JSON object"),
    "list.json": (b'[{"a": 1, "b": 2}]', "row 1: it is not a JSON object"),
    "binary.jsonl": (b"\x00\x01\xff\n", "row 1: it is binary or not UTF-8"),
    "names.jsonl": (b'{"a": 1, "b": 2}\n{"a": 1, "bb": 2}\n', "row 2: it has no 'b'.*Did you"),
    "cut.parquet": (parquet_bytes()[:-30], "cannot be read as parquet"),
    "hole.parquet": (parquet_bytes()[:8] + bytes(90) + parquet_bytes()[98:], "cannot be read as"),
    "empty.parquet": (b"", "cannot be read as parquet"),
    "names.parquet": (None, "no column 'a'.*Known: aa, b"),
    "sheet.xlsx": (b"PK", "cannot read '.xlsx' files"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_files_give_one_line_with_file_and_row(tmp_path, name):
    data, message = BROKEN[name]
    path = tmp_path / name
    if data is None:
        pq.write_table(pa.table({"aa": ["x"], "b": ["y"]}), path)
    else:
        path.write_bytes(data)
    with pytest.raises(InputError, match=message) as caught:
        list(read_table(path, ["a", "b"]))
    text = str(caught.value)
    assert text.startswith(str(path))
    assert "\n" not in text
    assert len(text) < 400
