"""Damaged CVs, thousands of them: each is read to its end or refused by the name of its file."""

import csv
import random
from collections import Counter
from functools import lru_cache
from pathlib import Path

import pytest

from experiments.cli.text_files import read_text
from jdcv_core.data.demo.generate import demo_corpus
from jdcv_core.encoding.gpt2_mini import train_tokenizer
from jdcv_core.errors import InputError
from jdcv_core.readable_text import readable
from jdcv_core.types import Document
from research.experience.experience_chunking import ExperienceChunker
from research.experience.parsing import parse_cv

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
"""Real CVs beside the checkout; without them the demo's are damaged alone."""
ENCODINGS = ["utf-8", "cp1252", "latin-1", "utf-16", "utf-16-le", "utf-16-be", "utf-8-sig"]
ENCODINGS += ["mac-roman", "cp437", "cp1251", "shift-jis", "gb18030", "utf-32", "utf-7"]
FOREIGN = (
    "Développeur à Zürich – août 2015 – février 2019 • “R&D” Łódź 2016年1月 - 至今 Опыт 2012-2014\n"
)
STRANGE = [
    b"\0",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b"\xe2\x80",
    b"\xf0\x9f\x98",
    b"\x96",
    b"\x85",
    b"\r",
]
STRANGE += [b"&ndash;", b"&amp;amp;", b"&#x110000;", b"\xed\xa0\x80", b"\xc0\x80", b"\xcc\x81" * 50]
STRANGE += ["²³ ½ Ⅷ ٢٠١٥ ２０１９".encode(), b"2015" * 40, b"(" * 300, b"01/" * 60, b"\x1b[31m"]


@lru_cache
def sources():
    texts = [d.text for d in demo_corpus(cvs=32, jds=32, pairs_per_cv=4).side("cv")[:20]]
    if SHARED.is_dir():
        csv.field_size_limit(10**7)
        with (SHARED / "resume_job_fit" / "raw_100.csv").open(encoding="utf-8", newline="") as file:
            texts += sorted({row["resume_text"] for row in csv.DictReader(file)})
    return texts


@lru_cache
def tokenizer():
    return train_tokenizer(sources()[:20], 600)


def mutated(text, rng):
    """The bytes of a file that holds the text after one to four accidents."""
    lines = (text[: rng.randint(1, 3000)] + FOREIGN * rng.randint(0, 2)).splitlines(True)
    rng.shuffle(lines)
    text = "".join(lines)
    half = rng.randint(0, len(text))
    data = text.encode()
    for _ in range(rng.randint(1, 4)):
        accident = rng.randint(0, 7)
        one, other = rng.choice(ENCODINGS), rng.choice(ENCODINGS)
        if accident == 0:
            flipped = bytearray(data)
            for _ in range(rng.randint(1, 20)):
                if flipped:
                    flipped[rng.randrange(len(flipped))] = rng.randrange(256)
            data = bytes(flipped)
        elif accident == 1:
            data = text[:half].encode(one, "ignore") + text[half:].encode(other, "ignore")
        elif accident == 2:  # read in a wrong encoding and saved, once or twice
            for _ in range(rng.randint(1, 2)):
                data = data.decode(one, "ignore").encode("utf-8", "ignore")
        elif accident == 3:
            at = rng.randint(0, len(data))
            data = data[:at] + rng.choice(STRANGE) + data[at:]
        elif accident == 4:
            data = data[rng.randint(0, 3) : rng.randint(0, len(data))]
        elif accident == 5:
            data = text.encode(one, "ignore")
        elif accident == 6:
            data = data.replace(b" ", rng.choice(["\u00a0", "&nbsp;", "\u200b", ""]).encode())
        else:
            data = data.replace(
                "–".encode(), rng.choice(["â€“", "&ndash;", "\u2011", "?"]).encode()
            )
    return data


def read_to_the_end(path, name):
    """All that reads a CV, in order; returns whether it was refused, and by whom."""
    refused = ""
    try:
        text = read_text(path)
    except InputError as error:
        refused = str(error)
    if refused:
        assert refused.startswith(str(path))
        assert "\n" not in refused
        return "refused as a file"
    assert readable(readable(text).text).text == readable(text).text
    parsed = parse_cv(text)
    assert parsed.segments[0].start == 0
    assert parsed.segments[-1].end == len(text)
    assert all(a.end == b.start for a, b in zip(parsed.segments, parsed.segments[1:], strict=False))
    assert all(0 <= e.dates.at <= e.dates.to <= len(text) for e in parsed.experiences)
    assert isinstance(parsed.total_months, int)
    document = Document(f"cv:{name}", text, str(path))
    try:
        (chunks,) = ExperienceChunker(64).cut([document], tokenizer(), 64).chunks
    except InputError as error:
        refused = str(error)
    if refused:
        assert str(path) in refused
        return "refused by the chunker"
    assert chunks[0].start == 0
    assert chunks[-1].end == len(text)
    assert all(a.end == b.start for a, b in zip(chunks, chunks[1:], strict=False))
    return "read, with repairs" if readable(text).repairs else "read as it is"


def run(count, path):
    rng = random.Random(17)
    outcomes = Counter()
    for number in range(count):
        data = mutated(rng.choice(sources()), rng)
        path.write_bytes(data)
        try:
            outcomes[read_to_the_end(path, number)] += 1
        except Exception as error:
            raise AssertionError(f"number {number}: {data!r}") from error
    return outcomes


def test_damaged_files_are_read_or_refused_by_name(tmp_path):
    outcomes = run(250, tmp_path / "cv.txt")
    assert outcomes["read, with repairs"] > 30
    assert outcomes["refused as a file"] > 20


@pytest.mark.slow
def test_ten_thousand_damaged_files_are_read_or_refused_by_name(tmp_path):
    outcomes = run(10_000, tmp_path / "cv.txt")
    print(dict(outcomes))
    assert sum(outcomes.values()) == 10_000
