"""The page *Experiments*: the table and the figures of a finished experiment. Ours."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from experiments.demo.demo_server import Server
from experiments.demo.desk import Desk
from jdcv_core.records import PARTIAL

TABLE = "table.md"


def show(desk: Desk) -> None:
    """Show the page. desk: not read; all pages are called in the same way"""
    st.header("Experiments")
    folder = Server.opened.runs if Server.opened is not None else None
    found = finished(folder) if folder is not None else {}
    if not found:
        st.info("There is no finished experiment. Start the demo in the folder of runs/.")
        return
    names = list(found)
    chosen = found[st.selectbox("A finished experiment, the newest first", names) or names[0]]
    st.code((chosen / TABLE).read_text(encoding="utf-8"), language=None)
    for figure in sorted(chosen.glob("*.png")):
        st.image(figure.read_bytes())


def finished(runs: Path) -> dict[str, Path]:
    """`experiment/id` → folder of each experiment that has a table, the newest first."""
    tables = [p.parent for p in runs.glob(f"*/*/{TABLE}") if not p.parent.name.endswith(PARTIAL)]
    tables.sort(key=lambda p: p.name, reverse=True)
    return {f"{p.parent.name}/{p.name}": p for p in tables}
