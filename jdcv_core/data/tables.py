"""CSV, JSON Lines and Parquet files → their records, each with the place it stands in. Ours.

CSV and JSON Lines are read by the standard library, not by pyarrow or pandas, because a message
must name the row. pyarrow.csv reports invalid UTF-8 and a line with too few fields without a row,
needs a block as large as the largest document, and takes an unclosed quote in the last column for
a text that reaches to the end of the file, without a word. Parquet is read by pyarrow.
"""

import csv
import json
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from jdcv_core.data.decoding import decode, encoding_of
from jdcv_core.errors import InputError, nearest

SUFFIXES = (".csv", ".jsonl", ".json", ".parquet")
"""`.json` is read as JSON Lines, too."""

LARGEST_FIELD = 2**31 - 1

Record = tuple[str, tuple[Any, ...]]
"""Where it stands (`row 7 (line 31)`) and the values of the wanted columns."""


def read_table(path: Path, wanted: Sequence[str]) -> Iterator[Record]:
    """The records of a file, in its order, with the values of the `wanted` columns.

    Rows count from 1 without the header; a CSV's place also gives the line where the row starts.
    Text that is not UTF-8 comes through with lone surrogates, so that the caller can name its row.

    Raises InputError if the suffix is not in SUFFIXES, the file cannot be read or is not of its
    kind (binary, truncated), a column is missing or doubled, or a row cannot be parsed.
    """
    readers = {".csv": _read_csv, ".parquet": _read_parquet}
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise InputError(str(path), f"cannot read {suffix!r} files", f"use {', '.join(SUFFIXES)}")
    try:
        yield from readers.get(suffix, _read_json_lines)(path, wanted)
    except (OSError, pa.ArrowException) as error:
        what = f"it cannot be read as {suffix[1:]} ({error})"
        raise InputError(str(path), what, "check that the file is whole") from error


def text_lines(path: Path, newline: str = "\n") -> Iterator[str]:
    """The lines of a file, decoded as `decode` does; newline: as of `open`.

    Raises InputError where a file in UTF-16 or UTF-32 has bytes that are not; OSError as `open`.
    """
    with path.open("rb") as start:
        encoding = encoding_of(start.read(4))
    errors = "surrogateescape" if encoding.startswith("utf-8") else "strict"
    try:
        with path.open(encoding=encoding, errors=errors, newline=newline) as file:
            yield from file
    except UnicodeError as error:
        what = f"it begins as {encoding.upper()} and is not ({error})"
        raise InputError(str(path), what, "save it as UTF-8") from error


def bad_byte(text: str) -> str:
    """Where a decoded text is not what its encoding says: `byte 7 is 0x96`, from 1; "" if it is."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        at = error.start
        if "\udc80" <= text[at] <= "\udcff":
            return f"byte {len(text[:at].encode()) + 1:,} is 0x{ord(text[at]) - 0xDC00:02x}"
        return f"character {at + 1:,} is half of a pair, U+{ord(text[at]):X}"
    return ""


def is_unicode(text: str) -> bool:
    """False if it has lone surrogates: the bytes were not UTF-8 (or a JSON escape was broken)."""
    return not bad_byte(text)


def _read_csv(path: Path, wanted: Sequence[str]) -> Iterator[Record]:
    # The limit (131,072 by default) is one for the whole process, and documents may be longer.
    csv.field_size_limit(LARGEST_FIELD)
    reader = csv.reader(text_lines(path, newline=""), strict=True)
    header: list[str] = []
    number = 0
    while True:
        line = reader.line_num + 1
        place = f"row {number} (line {line})" if header else f"header (line {line})"
        try:
            fields = next(reader)
        except StopIteration:
            break
        except csv.Error as error:
            what = f"its quotes or fields are broken ({error})"
            raise InputError(f"{path}, {place}", what, "check the quotes there") from error
        if not fields:  # an empty line
            continue
        number += 1
        if not header:
            header = fields
            at = _positions(path, header, wanted)
            continue
        if len(fields) != len(header):
            what = f"it has {len(fields)} fields, the header has {len(header)}"
            raise InputError(f"{path}, {place}", what, "check its quotes and commas")
        yield place, tuple(fields[i] for i in at)
    if not header:
        raise InputError(str(path), "the file is empty", "give a header and rows")


def _read_json_lines(path: Path, wanted: Sequence[str]) -> Iterator[Record]:
    numbers = count(1)
    for text in text_lines(path):
        if not text.strip():
            continue
        place = f"row {next(numbers)}"
        try:
            record = json.loads(text)
        except ValueError as error:
            record = error
        if not isinstance(record, dict):
            garbled = "\0" in text or not is_unicode(text)
            what = "it is binary or not UTF-8" if garbled else "it is not a JSON object"
            raise InputError(f"{path}, {place}", what, "write one JSON object a line")
        for name in wanted:
            if name not in record:
                known = nearest(name, _names(list(record)))
                raise InputError(f"{path}, {place}", f"it has no {name!r}", known)
        yield place, tuple(record[name] for name in wanted)


def _read_parquet(path: Path, wanted: Sequence[str]) -> Iterator[Record]:
    with pq.ParquetFile(path, page_checksum_verification=True) as file:
        _positions(path, file.schema_arrow.names, wanted)
        numbers = count(1)
        for batch in file.iter_batches(batch_size=256, columns=list(wanted)):
            columns = [_values(batch.column(name)) for name in wanted]
            for values in zip(*columns, strict=True):
                yield f"row {next(numbers)}", values


def _values(column: pa.Array) -> list[Any]:
    """As Python values; texts go through bytes, for arrow itself fails on invalid UTF-8."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        column = column.cast(pa.large_binary())
    return [decode(v) if isinstance(v, bytes) else v for v in column.to_pylist()]


def _positions(path: Path, header: Sequence[str], wanted: Sequence[str]) -> list[int]:
    if any("\0" in name or not is_unicode(name) for name in header):
        what = "it is a binary file, or text that is not UTF-8"
        raise InputError(str(path), what, "save it as UTF-8 text")
    for name in wanted:
        times = header.count(name)
        if times > 1:
            raise InputError(str(path), f"{times} columns are called {name!r}", "rename one")
        if times == 0:
            cure = f"set `columns` to what the file has; {nearest(name, _names(header))}"
            raise InputError(str(path), f"there is no column {name!r}", cure)
    return [header.index(name) for name in wanted]


def _names(names: Sequence[str]) -> list[str]:
    """Short enough for a message, whatever stands in the header."""
    return [name[:40] for name in names[:20]]
