"""The page *Export*: the ranking as files. Ours."""

from __future__ import annotations

import streamlit as st

from experiments.demo import exports
from experiments.demo.desk import Desk
from experiments.demo.inert import visible
from experiments.demo.people import called
from jdcv_core.errors import InputError


def show(desk: Desk) -> None:
    """Show the page."""
    st.header("Export")
    if desk.ranking is None:
        st.info("Search first.")
        return
    st.text("The files are made now, and not kept here. In blind mode they have no names.")

    def short(name: str) -> str:
        return called(desk, name).replace(" ", "-") if st.session_state.get("blind") else name

    table = exports.csv_of(desk.ranking, short)
    st.download_button("Shortlist (CSV)", table, "shortlist.csv", "text/csv")
    try:
        run = exports.trec_of(desk.ranking, short)
    except InputError as fault:
        st.text(visible(str(fault)))
        return
    st.download_button("All scores (TREC run)", run, "run.txt", "text/plain")
