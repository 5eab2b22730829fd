"""`jdcv demo`: the page in the browser."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from experiments.cli.text_files import say

CACHE = Path("~/.cache/jdcv")
EXAMPLES = """\
examples
  the demo corpus, with a small model that is trained at the first start
    jdcv demo
  your own CVs and model
    jdcv index --cvs cvs/ --index cvs.index --model runs/full_stack/ID/models/ROW
    jdcv demo --index cvs.index
"""


def add_command(commands: Any) -> None:
    """Add `demo` to the parser of `jdcv`."""
    demo = commands.add_parser(
        "demo",
        help="open the demo: a page on which JDs search CVs, and which shows why",
        description="Serve a page on this machine: search CVs, see why, change a CV, export.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    demo.set_defaults(command=run_demo)
    add = demo.add_argument
    add("--model", type=Path, metavar="FOLDER", help="a saved matcher; default: a small one")
    text = "made by jdcv index --cvs; default: the demo corpus"
    add("--index", type=Path, metavar="FOLDER", help=text)
    add("--port", type=int, default=8501, help="of the page; default: %(default)s")
    text = "keeps the demo's model and index, and no text of yours; default: %(default)s"
    add("--cache-dir", type=Path, default=CACHE, metavar="FOLDER", help=text)


def run_demo(arguments: argparse.Namespace) -> None:
    """`jdcv demo`: open model and index, then serve the page until Ctrl-C."""
    from experiments.demo import demo_server

    demo_server.check_installed()
    cache = arguments.cache_dir.expanduser().absolute()
    opened = demo_server.open_demo(cache, arguments.model, arguments.index)
    say(f"{opened.corpus}; open http://localhost:{arguments.port} and stop with Ctrl-C")
    demo_server.serve(opened, arguments.port)
