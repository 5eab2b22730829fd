"""Measure how well files are read: the order of the text, dates, hidden text, and speed.

`cv_files` makes `--files` clean CVs in twelve layouts and `--hidden` for each of eight ways to hide
text. markitdown and pypdf read the same clean files.

  make benchmark BENCH=documents

The table above gives for each layout the edit similarity, 1 - (edits / characters of the longer
text), of what was read to what the file says; white space counts as one space, and lines of
headers, footers and margins are taken out of both. The last line is one JSON object with
  order                the mean similarity of the files with two columns on a page
  order_others         that of markitdown and of pypdf on the same files
  date_recall          share of the experiences whose first and last month are read from the files
  date_recall_plain    the same from the plain text of what the files say
  hidden_recall        share of the hidden phrases that are reported and not in the text
  hidden_false_alarms  share of the visible letters of all files that are reported as hidden
  files_per_second     files read in a second, by `--workers` processes
  bombs, bomb_seconds  hostile files that were refused, and the longest time that one took
"""

from __future__ import annotations

import argparse
import io
import json
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import mean

import pypdf
from cv_files import COLUMNS, PHRASE, File, cv_files, hidden_files, similarity
from hostile_files import bombs

from jdcv_core.data.documents.file_text import WAYS, FileText
from jdcv_core.data.documents.reading import read_bytes, read_files
from jdcv_core.errors import InputError
from jdcv_core.progress import progress
from research.experience.parsing import parse_cv

Readers = dict[str, Callable[[File], str]]


def main() -> None:
    options = arguments()
    with progress("Making files", None):
        clean, tricky = cv_files(options.files), list(hidden_files(options.hidden))
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / file.name for file in clean]
        for path, file in zip(paths, clean, strict=True):
            path.write_bytes(file.data)
        start = time.perf_counter()
        read = read_files(paths, workers=options.workers)
        seconds = time.perf_counter() - start
    texts = {"jdcv": [getattr(found, "text", "") for found in read], **others(clean)}
    found = orders(clean, texts)
    plain = ["\n".join(file.lines) for file in clean]
    hidden = [found for found in read if isinstance(found, FileText)]
    recall, reported, letters = hidden_text(tricky, hidden)
    slowest, refused = hostile()
    result = {
        "order": round(found["jdcv"], 4),
        "order_others": {name: round(found[name], 4) for name in found if name != "jdcv"},
        "date_recall": round(date_recall(clean, texts["jdcv"]), 4),
        "date_recall_plain": round(date_recall(clean, plain), 4),
        "hidden_recall": round(recall, 4),
        "hidden_false_alarms": round(reported / letters, 5),
        "files_per_second": round(len(clean) / seconds, 1),
        "bombs": refused,
        "bomb_seconds": round(slowest, 2),
    }
    print(json.dumps(result))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--files", type=int, default=120)
    parser.add_argument("--hidden", type=int, default=15, help="files for each way")
    parser.add_argument("--workers", type=int, default=2)
    return parser.parse_args()


def others(files: Sequence[File]) -> dict[str, list[str]]:
    """The texts that other libraries read; pypdf reads PDF only."""
    from markitdown import MarkItDown

    reader = MarkItDown()

    def by_markitdown(file: File) -> str:
        return reader.convert_stream(io.BytesIO(file.data)).text_content

    def by_pypdf(file: File) -> str:
        if file.name.endswith("docx"):
            return ""
        pages = pypdf.PdfReader(io.BytesIO(file.data)).pages
        return "\n".join(page.extract_text() for page in pages)

    readers: Readers = {"markitdown": by_markitdown, "pypdf": by_pypdf}
    found: dict[str, list[str]] = {}
    for name, read in readers.items():
        with progress(f"Reading by {name}", len(files)) as advance:
            found[name] = []
            for file in files:
                found[name].append(read(file))
                advance()
    return found


def orders(files: Sequence[File], texts: dict[str, list[str]]) -> dict[str, float]:
    """Print a table of similarities; returns the mean of each reader on files with two columns."""
    found: dict[str, dict[str, list[float]]] = {name: defaultdict(list) for name in texts}
    for name, own in texts.items():
        for file, text in zip(files, own, strict=True):
            if text:
                found[name][file.layout].append(similarity(file, text))
    print(f"{'layout':<22}" + "".join(f"{name:>12}" for name in texts))
    for layout in dict.fromkeys(file.layout for file in files):
        row = [found[name].get(layout) for name in texts]
        print(f"{layout:<22}" + "".join(f"{mean(x):>12.4f}" if x else f"{'':>12}" for x in row))
    return {
        name: mean(value for layout in COLUMNS for value in own[layout])
        for name, own in found.items()
    }


def date_recall(files: Sequence[File], texts: Sequence[str]) -> float:
    """The share of all experiences whose months are read."""
    right = total = 0
    for file, text in zip(files, texts, strict=True):
        read = {(e.dates.start, e.dates.end) for e in parse_cv(text).experiences}
        right += sum(months in read for months in file.months)
        total += len(file.months)
    return right / total


def hidden_text(
    tricky: Sequence[tuple[str, File]], clean: Sequence[FileText]
) -> tuple[float, int, int]:
    """The share of hidden phrases found, and how many letters that can be seen were reported, of
    how many; prints the share for each way."""
    found: dict[str, list[bool]] = defaultdict(list)
    reported = sum(sum(file.ways.values()) for file in clean)
    letters = reported + sum(count(file.text) for file in clean)
    with progress("Reading hidden text", len(tricky)) as advance:
        for way, file in tricky:
            read = read_bytes(file.data, file.name)
            named = " ".join(part.text for part in read.hidden)
            spelled = way == "zero-width" or set(PHRASE.split()) <= set(named.split())
            found[way].append(bool(read.hidden) and spelled and PHRASE not in read.text)
            reported += sum(n for name, n in read.ways.items() if name != way)
            letters += count(read.text)
            advance()
    for way in WAYS:
        print(f"hidden: {way:<22}{mean(found[way]):.3f} of {len(found[way])}")
    return mean(one for own in found.values() for one in own), reported, letters


def count(text: str) -> int:
    """Letters and signs, without white space."""
    return len("".join(text.split()))


def hostile() -> tuple[float, int]:
    """The longest time until a hostile file was refused, and how many were."""
    slowest, refused = 0.0, 0
    for name, make in bombs():
        data = make()
        start = time.perf_counter()
        try:
            outcome = f"read, {len(read_bytes(data, name).text)} characters"
        except InputError as error:
            refused, outcome = refused + 1, str(error)
        seconds = time.perf_counter() - start
        slowest = max(slowest, seconds)
        print(f"bomb: {seconds:5.2f} s  {outcome[:110]}")
    return slowest, refused


if __name__ == "__main__":
    main()
