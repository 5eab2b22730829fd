"""The page *Search*: a JD, CVs, and the ranking. Ours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

from experiments.demo.blind import name_of
from experiments.demo.demo_server import FILES_AT_ONCE, Server
from experiments.demo.desk import Desk
from experiments.demo.inert import visible
from experiments.demo.people import called
from jdcv_core.data.documents.kinds import SUFFIXES
from jdcv_core.data.documents.reading import read_bytes
from jdcv_core.errors import InputError
from jdcv_core.requirements import STATES
from research.retrieval.matches import Match

KINDS = [suffix.removeprefix(".") for suffix in SUFFIXES]


def show(desk: Desk) -> None:
    """Show the page."""
    st.header("Search")
    left, right = st.columns(2)
    with left:
        jd = _jd(desk)
    with right:
        _cvs(desk)
        k = st.number_input("CVs to show", 1, 100, 10, key="k")
    if (st.button("Search", type="primary") or desk.ranking is None) and jd.strip():
        try:
            with st.spinner("Searching"):
                desk.search(jd, int(k))
        except InputError as fault:
            _faults([str(fault)])
    _results(desk)


def _jd(desk: Desk) -> str:
    """The text of the JD: an example, a file or what is typed."""
    state = st.session_state
    examples = Server.opened.examples if Server.opened is not None else {}

    def take_example() -> None:
        state.jd = examples[state.example]
        desk.forget_ranking()

    state.setdefault("jd", desk.jd)
    if examples:
        st.selectbox("An example", list(examples), key="example", on_change=take_example)
    file = st.file_uploader("A JD from a file", KINDS, key=f"jd file {state.rounds}")
    if file is not None and state.get("jd seen") != file.file_id:
        state["jd seen"] = file.file_id
        try:
            state.jd = read_bytes(file.getvalue(), file.name).text
            desk.forget_ranking()
        except InputError as fault:
            _faults([str(fault)])
    desk.jd = st.text_area("The JD", key="jd", height=280)
    return desk.jd


def _cvs(desk: Desk) -> None:
    """Which CVs are searched."""
    state = st.session_state
    files = st.file_uploader(
        f"CVs from files, up to {FILES_AT_ONCE}",
        KINDS,
        accept_multiple_files=True,
        key=f"cv files {state.rounds}",
    )
    seen = tuple(file.file_id for file in files)
    if files and state.get("cvs seen") != seen:
        state["cvs seen"] = seen
        with st.spinner("Reading files"):
            taken = [(file.name, file.getvalue()) for file in files[:FILES_AT_ONCE]]
            state["cv faults"] = desk.put(taken)
        if len(files) > FILES_AT_ONCE:
            state["cv faults"].append(f"only the first {FILES_AT_ONCE} files are read")
    _faults(state.get("cv faults", []))
    if desk.own is None:
        st.text(f"Searched: {len(desk.shared)} CVs that the demo was opened with")
        return
    names = {True: f"{len(desk.own)} uploaded CVs", False: f"{len(desk.shared)} other CVs"}
    own = st.radio("Searched", [True, False], format_func=names.__getitem__, key="own")
    if own != desk.use_own:
        desk.use_own = bool(own)
        desk.forget_ranking()


def _faults(faults: Sequence[str]) -> None:
    """Messages, which name files, as plain text."""
    if faults:
        st.error("Not read:")
    for fault in faults:
        st.text(visible(fault))


def _results(desk: Desk) -> None:
    """The ranking as a table."""
    if desk.ranking is None:
        st.info("Paste a JD, or choose a file, and press Search.")
        return
    trained = desk.matcher is not None
    st.subheader(f"The best of {len(desk.ranking.scores)} CVs")
    st.dataframe([_row(desk, match) for match in desk.ranking.matches], hide_index=True)
    if trained:
        st.caption(
            "Score: of the trained model, in [0, 1]; words and vectors choose what it reads."
        )
    else:
        st.caption(
            "Score: of words and vectors, in deviations above the mean CV; no trained model."
        )


def _row(desk: Desk, match: Match) -> dict[str, Any]:
    """A row of the table."""
    assert desk.ranking is not None
    row: dict[str, Any] = {"rank": desk.ranking.place(match.id), "CV": called(desk, match.id)}
    if not st.session_state.get("blind"):
        row["name"] = visible(name_of(desk.index.text(match.id)))
    row["score"] = round(match.score, 3)
    if desk.matcher is not None:
        row["class"] = desk.matcher.label(match.score)
    listed = [r for r in match.requirements if r.listed]
    row |= {s: sum(r.state == s for r in listed) for s in STATES} if listed else {}
    row["words in common"] = visible(", ".join(match.common))
    row["nearly the same text"] = ", ".join(called(desk, other) for other in match.copies)
    return row
