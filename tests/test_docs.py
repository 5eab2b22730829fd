"""README and docs: their examples run, their links and names exist, and their English is plain.

An example is a Python block after `<!-- run -->`; the text block behind it is what it prints, to
the letter. After `<!-- run: form -->` its figures depend on a model, and only the form is compared:
numbers, classes, ids, the states of requirements and the texts of chunks may differ.
"""

import contextlib
import io
import re
import shlex
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import numpy as np
import pytest
import tiny_models
from conftest import ROOT

from experiments import validate
from jdcv_core import LABELS
from jdcv_core.encoding.whitening import Whitening
from jdcv_core.requirements import STATES

PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "research" / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
WRITTEN = [page for page in PAGES if page.name != "LOG.md"]
"""The pages that are kept up to date; a log is not rewritten."""
EXAMPLE = re.compile(
    r"<!-- run(?P<form>: form)? -->\n```python\n(?P<code>.*?)```\n```text\n(?P<output>.*?)```", re.S
)
LINK = re.compile(r"\]\(([^)\s]+)\)")
ROOMS = ("jdcv_core", "research", "experiments", "papers", "docs", "tests", "benchmarks")
IDIOMS = (
    "hangs on", "hang on", "anew", "is told", "are told", "of the past", "goes on with",
    "gone on with", "of its own", "of their own", "as there(?! is| are)", "of then", "mend",
    "mends", "mended", "of like lengths?", "that is none", "that is too (little|few|much|many)",
    "is asked for", "all alike", "holds? the truth", "the seed alone", "one number at a time",
    "however many", "whatever call", "is no multiple", "handed (on|over)", "is had", "knows of",
    "each its own", "now and then", "putting chunks together", "a dot a seed", "go on", "goes on",
)  # fmt: skip


def examples() -> Iterator[tuple[str, bool, str, str]]:
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for number, found in enumerate(EXAMPLE.finditer(text)):
            name = f"{page.relative_to(ROOT)}-{number}"
            yield name, found["form"] is not None, found["code"], found["output"]


EXAMPLES = list(examples())


@pytest.fixture(scope="session")
def folder(tmp_path_factory) -> Path:
    """A folder with two saved models: GPT-2 of two layers and a scorer, both untrained.

    MODEL has a match head, and BY_LINE compares line by line.
    """
    folder = tmp_path_factory.mktemp("examples")
    whitening = Whitening(np.zeros(32), np.eye(32))
    tiny_models.save_matcher(folder, whitening).rename(folder / "MODEL")
    tiny_models.save_matcher_by_line(folder).rename(folder / "BY_LINE")
    return folder


def form(output: str) -> list[str]:
    """The lines without numbers, classes, states of requirements, ids and texts of chunks; equal
    neighbours once."""
    found = []
    for line in output.splitlines():
        line = re.sub(r"(nearest \w+ chunk \d+ \(.*?\)).*", r"\1", line)
        line = re.sub("|".join(LABELS), "LABEL", line)
        line = re.sub(rf"\b({'|'.join(STATES)})\b", "STATE", line)
        line = re.sub(r"\b(ada|bo|cy)\b", "ID", line)
        line = re.sub(r"[+-]?\b\d+(\.\d+)?(e-\d+)?|\bonly\b", "N", line)
        found.append(" ".join(line.split()))
    return [line for line, _ in groupby(found)]


@pytest.mark.parametrize(
    ("formal", "code", "output"), [e[1:] for e in EXAMPLES], ids=[e[0] for e in EXAMPLES]
)
def test_the_examples_print_what_the_page_shows(formal, code, output, folder, monkeypatch):
    monkeypatch.chdir(folder)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, "example", "exec"), {"__name__": "example"})
    if formal:
        assert form(printed.getvalue()) == form(output)
    else:
        assert printed.getvalue() == output


def test_every_marked_block_is_an_example_and_the_readme_has_a_short_one():
    texts = [page.read_text(encoding="utf-8") for page in PAGES]
    markers = sum(len(re.findall(r"^<!-- run", text, re.M)) for text in texts)
    assert len(EXAMPLES) == markers >= 5
    (own,) = (code for name, _, code, _ in EXAMPLES if name.startswith("README"))
    assert len(own.splitlines()) <= 8


def test_form_sees_a_missing_line_and_another_word():
    shown = "score 0.745 (Good Fit)\n  +0.125    1  nearest JD chunk 1 (+0.33)  and gates\n"
    tied = "score 0.1 (No Fit)\n    only    0  nearest JD chunk 3 (-0.01)  other\n"
    assert form(shown) == form(tied)
    assert form(shown) != form("score 0.745 (Good Fit)\n")
    assert form(shown) != form(shown.replace("score", "logit"))


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 130


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_relative_links_lead_to_files_and_to_headings(page):
    for link in LINK.findall(page.read_text(encoding="utf-8")):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{link} in {page.name}"
        if anchor:
            headings = re.findall(r"^#+ (.*)", target.read_text(encoding="utf-8"), re.M)
            slugs = {re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in headings}
            assert anchor in slugs, f"{link} in {page.name}"


@pytest.mark.parametrize("page", WRITTEN, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_named_files_and_experiments_exist(page):
    text = page.read_text(encoding="utf-8")
    for named in re.findall(rf"`((?:{'|'.join(ROOMS)})/[\w/]*(?:\.\w+)?)`", text):
        if "gated" not in named and "NAME" not in named:  # the example of CONTRIBUTING
            assert (ROOT / named).exists(), f"{named} in {page.name}"
    known = {path.stem for path in (ROOT / "experiments" / "configs" / "exp").glob("*.yaml")}
    named = {*re.findall(r"\+exp=(\w+)", text), *re.findall(r"\bEXP=(\w+)", text)}
    assert named - {"NAME", "gated"} <= known


def test_the_commands_of_experiments_compose():
    commands = []
    for page in WRITTEN:
        text = page.read_text(encoding="utf-8").replace("\\\n", " ")
        for block in re.findall(r"^```bash\n(.*?)^```", text, re.M | re.S):
            start = "python experiments/run.py +"
            commands += [line for line in block.splitlines() if line.startswith(start)]
    assert len(commands) > 20
    for command in sorted(set(commands)):
        for left_open in ("…/", "<", ">"):
            command = command.replace(left_open, "")
        validate.overrides(shlex.split(command, comments=True)[2:])


def test_the_tree_of_the_readme_exists():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    tree = text.partition("## The tree\n```\n")[2].partition("```")[0]
    top = ROOT
    for line in tree.splitlines():
        names = re.findall(r"\w+/|\w+\.(?:py|md)\b", line)
        assert names, line
        if not line.startswith(" "):
            top = ROOT / names.pop(0)
        assert all((top / name).exists() for name in names), line


def test_every_public_name_is_in_the_api_reference():
    from importlib import import_module

    pages = (ROOT / "docs" / "api").glob("*.md")
    text = "\n".join(page.read_text(encoding="utf-8") for page in pages)
    for package in ("jdcv_core", "research", "research.retrieval"):
        module = import_module(package)
        for name in module.__all__:
            assert f"`{name}`" in text, name
            home = f"{package}.{module._HOMES[name]}"
            assert re.search(rf"^::: {re.escape(home)}$", text, re.M), home


def test_the_english_is_plain():
    words = re.compile(rf"\b({'|'.join(IDIOMS)})\b", re.I)
    left_out = {Path(__file__), ROOT / "docs" / "LOG.md"}
    found = []
    for path in [*ROOT.glob("*.md"), *(p for room in ROOMS for p in (ROOT / room).rglob("*.*"))]:
        if path.suffix not in (".py", ".md", ".yaml") or path in left_out:
            continue
        if "evidence" in path.parts:  # recorded, so never rewritten
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if hit := words.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}: {hit[0]}")
    assert not found, "\n".join(found)
