"""The page of the demo, as Streamlit runs it: once for each click of each session. Ours."""

from __future__ import annotations

import streamlit as st

from experiments.demo import experiments_page, export_page, search_page, what_if_page, why_page
from experiments.demo.demo_server import Server
from experiments.demo.desk import Desk

PAGES = {
    "Search": search_page.show,
    "Why": why_page.show,
    "What if": what_if_page.show,
    "Export": export_page.show,
    "Experiments": experiments_page.show,
}
SUPPORT = (
    "This page supports a decision and makes none. A person decides, and can name the reasons. "
    "What you enter stays in the memory of this machine, and is dropped at the end of the session."
)


def erase() -> None:
    """Drop all data of the session, uploads and results included."""
    st.session_state.desk.drop_uploads()
    rounds = st.session_state.rounds
    st.session_state.clear()
    st.session_state.page = next(iter(PAGES))
    st.session_state.rounds = rounds + 1  # new uploaders, so that Streamlit frees their files


def main() -> None:
    st.set_page_config(page_title="jdcv demo", layout="wide")
    opened = Server.opened
    if opened is None:
        st.error("Start this page with jdcv demo.")
        return
    state = st.session_state
    state.setdefault("rounds", 0)
    if "desk" not in state:
        state.desk = Desk(opened.index, jd=next(iter(opened.examples.values()), ""))
    with st.sidebar:
        st.title("jdcv demo")
        page = st.radio("Page", list(PAGES), key="page")
        st.toggle("Blind: hide names and file names", key="blind")
        st.text(opened.corpus)
        if opened.note:
            st.caption(opened.note)
        st.button("Erase now", key="erase", on_click=erase)
        st.caption(SUPPORT)
    PAGES[page](state.desk)


main()
