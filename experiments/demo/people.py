"""How a CV is called on the page, with and without blind mode, and which one is looked at. Ours."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from experiments.demo.blind import hide, name_of
from experiments.demo.desk import Desk
from experiments.demo.inert import visible


def called(desk: Desk, name: str) -> str:
    """The id of a CV, or its number in blind mode."""
    if st.session_state.get("blind"):
        return f"Candidate {desk.index.index.number_of(name) + 1}"
    return visible(name)


def hider(text: str) -> Callable[[str], str]:
    """A function that hides the name of a CV in parts of it, and contacts; in blind mode only.

    text: of the CV
    """
    if not st.session_state.get("blind"):
        return lambda part: part
    name = name_of(text)
    return lambda part: hide(part, name)


def choose(desk: Desk) -> str | None:
    """The CV that the person looks at; all that were ranked can be chosen, the best one first.
    None, with a hint on the page, before there is a ranking."""
    ranking = desk.ranking
    if ranking is None:
        st.info("Search first.")
        return None
    scores = ranking.scores
    ranks = {name: rank for rank, name in enumerate(scores, start=1)}
    labels = {i: f"{ranks[i]}. {called(desk, i)} — score {scores[i]:.3f}" for i in scores}
    before = st.session_state.get("looked_at", "")
    name: str | None = st.selectbox(
        f"CV ({len(scores)} were ranked)",
        list(scores),
        index=ranks.get(before, 1) - 1,
        format_func=labels.__getitem__,
    )
    st.session_state.looked_at = name
    return name
