"""Thousands of damaged PDF and DOCX files, and bombs: each is read or refused, and no reader dies
with them."""

import subprocess
import sys
from collections import Counter
from pathlib import Path
from random import Random

import files
import pytest
from conftest import ROOT

from benchmarks.cv_files import cv_files
from benchmarks.hostile_files import bombs, mutated
from jdcv_core.data.documents.file_text import FileText, Limits
from jdcv_core.data.documents.reading import read_files
from jdcv_core.data.documents.refused import Refused


def outcomes(count: int, folder: Path) -> Counter[str]:
    """How many damaged files were read and refused, and of how many the reader died."""
    sound = [file.data for file in cv_files(12)]
    sound += [files.saved(files.word("Ada Baker", "Welder"))] * 4
    random, found = Random(5), Counter()
    for first in range(0, count, 250):
        paths = []
        for number in range(first, min(first + 250, count)):
            paths.append(folder / str(number))
            paths[-1].write_bytes(mutated(random.choice(sound), random))
        for path, one in zip(paths, read_files(paths, workers=2), strict=True):
            if isinstance(one, FileText):
                found["read"] += 1
                assert all(0 <= a.start <= a.end <= len(one.text) for a in one.lines)
            else:
                assert isinstance(one, Refused)
                assert one.what
                assert one.cure
                found["its reader ended" if "stops its reader" in one.what else "refused"] += 1
            path.unlink()
    return found


def test_damaged_files_are_read_or_refused(tmp_path):
    found = outcomes(60, tmp_path)
    assert found["read"] > 5
    assert found["refused"] > 5
    assert found["its reader ended"] < 6


@pytest.mark.slow
def test_ten_thousand_damaged_files_are_read_or_refused(tmp_path):
    found = outcomes(10_000, tmp_path)
    print(dict(found))
    assert sum(found.values()) == 10_000


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, _ in bombs()])
def test_a_bomb_is_refused_or_read_within_the_memory(name, tmp_path):
    path = tmp_path / "bomb"
    path.write_bytes(dict(bombs())[name]())
    (found,) = read_files([path], limits=Limits(memory=500))
    assert isinstance(found, Refused) or found.text == "Ada Baker, welder, 2015 to 2019"


@pytest.mark.slow
def test_the_child_keeps_to_its_memory():
    """The peak of all children, as the system counts it."""
    code = (
        "import resource; from benchmarks.hostile_files import bombs;"
        "from jdcv_core.data.documents.reading import read_bytes\n"
        "make = dict(bombs())['content of 1 GB']\n"
        "try: read_bytes(make(), 'x')\n"
        "except ValueError: print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert int(done.stdout) < 1_000_000  # kilobytes
