"""Starts the demo: the index is opened, and then the page is served on this machine. Ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from jdcv_core.data.documents.file_text import Limits
from jdcv_core.errors import InputError
from jdcv_core.progress import progress
from research.retrieval import Retriever

PAGE = Path(__file__).with_name("app.py")
FILES_AT_ONCE = 50
SMALL_MODEL = (
    "Scores are of a small model that was trained on the demo corpus. They show how the page "
    "works, and say little about real CVs: for these give --model or --index."
)


@dataclass(frozen=True)
class Opened:
    """What every session of this server reads.

    index:    of CVs
    examples: title → text of JDs that the page offers
    runs:     the folder of finished experiments; None: they are not shown
    corpus:   what the CVs are, in a few words
    note:     what a person must know about the scores; "" for nothing
    """

    index: Retriever
    corpus: str
    note: str = ""
    examples: Mapping[str, str] = field(default_factory=dict)
    runs: Path | None = None


class Server:
    """opened: set before the page is served; Streamlit runs the page in this process."""

    opened: Opened | None = None


def open_demo(cache: Path, model: Path | None = None, index: Path | None = None) -> Opened:
    """Open an index, or that of the demo corpus, with its model.

    cache: the folder in which the demo's model and index are kept
    model: of a saved matcher; None: that of the index, or the small one of the demo
    index: made by `jdcv index --cvs`; None: the demo corpus

    Raises InputError for an index of JDs, and as `Retriever.open` does.
    """
    from experiments.demo import demo_corpus_index

    if index is None:
        found = demo_corpus_index.demo_index(cache, model)
        with progress("Reading the demo corpus", None):
            _, examples = demo_corpus_index.texts()
        corpus = f"{len(found)} generated CVs of the demo corpus"
        opened = Opened(found, corpus, SMALL_MODEL if model is None else "", examples)
    else:
        found = Retriever.open(index, model=model)
        if found.side != "cv":
            raise InputError(str(index), "it holds JDs", "give an index of CVs")
        opened = Opened(found, f"{len(found)} CVs of {index.name}")
    opened = replace(opened, runs=Path("runs").absolute())
    _ = found.model.reader  # loaded once, before the first person waits for it
    return opened


def options(port: int) -> dict[str, Any]:
    """The settings of Streamlit: this machine only, files up to the limit of the reader, nothing
    sent to anyone, no details of errors on the page."""
    return {
        "server.address": "localhost",
        "server.port": port,
        "server.headless": True,
        "server.maxUploadSize": Limits().megabytes,
        "server.fileWatcherType": "none",
        "browser.gatherUsageStats": False,
        "client.showErrorDetails": "none",
        "client.toolbarMode": "minimal",
    }


def check_installed() -> None:
    """Raises InputError that names the extra if Streamlit is not installed."""
    if find_spec("streamlit") is None:
        what = "the page needs Streamlit, which is not installed"
        raise InputError("jdcv demo", what, "install the extra: pip install 'jdcv[demo]'")


def serve(opened: Opened, port: int) -> None:
    """Serve the page until the process is stopped."""
    from streamlit.web import cli

    Server.opened = opened
    flags = [f"--{name}={value}" for name, value in options(port).items()]
    cli.main(["run", str(PAGE), *flags], prog_name="jdcv demo", standalone_mode=False)
