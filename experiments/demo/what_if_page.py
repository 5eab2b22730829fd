"""The page *What if*: what is missing, and a changed CV with its new score and rank. Ours."""

from __future__ import annotations

import streamlit as st

from experiments.demo.blind import name_of
from experiments.demo.desk import Desk, Ranking
from experiments.demo.inert import visible
from experiments.demo.people import choose, hider
from experiments.demo.what_if import Change, knows_months, lines_of, outcome
from jdcv_core.errors import InputError
from jdcv_core.explanation import Explanation
from jdcv_core.matcher import Matcher
from jdcv_core.requirements import STATES

MOST_MONTHS, LONGEST = 120, 120
OTHER_NAMES = ("", "Omar Haddad", "Emily Baker", "Nguyen Thi Lan", "Kwame Mensah", "Olga Petrova")


def show(desk: Desk) -> None:
    """Show the page."""
    st.header("Why not, and what if")
    name = choose(desk)
    if name is None or desk.ranking is None:
        return
    if desk.matcher is None:
        st.info("This needs an index with a trained model: jdcv index --model FOLDER.")
        return
    st.subheader("What is missing")
    _missing(desk.explain(name))
    st.subheader("What if")
    _what_if(desk, desk.matcher, desk.ranking, name)


def _missing(found: Explanation) -> None:
    """The requirements that the CV does not cover, the most important first."""
    missing = [r for r in found.requirements if r.listed and r.state == STATES[-1]]
    for r in sorted(missing, key=lambda r: -r.importance):
        st.text(
            f"importance {r.importance:.2f}, covered {r.covered:.2f}: {visible(r.text.strip())}"
        )
    if not found.requirements:
        st.text("This model does not compare requirement by requirement.")
    elif not missing:
        st.text("No requirement of some importance is missing.")


def _what_if(desk: Desk, matcher: Matcher, ranking: Ranking, name: str) -> None:
    """The changes that can be chosen, and what they do."""
    cv = desk.index.text(name)
    shown, number = hider(cv), desk.index.index.number_of(name)  # ids of widgets are no names
    upload = desk.uploads.get(name) if desk.index is desk.own else None
    asked = "With its hidden text"
    if upload and upload.with_hidden and st.checkbox(asked, key=f"hidden {number}"):
        cv = upload.with_hidden
    lines = {n: f"{n + 1}: {visible(shown(line))[:LONGEST]}" for n, line in lines_of(cv).items()}
    gone = st.multiselect(
        "Leave out lines",
        list(lines),
        format_func=lines.__getitem__,
        key=f"lines {number} {len(cv)}",
    )
    months = 0
    if knows_months(matcher):
        months = st.slider(
            "Read it so many months later", 0, MOST_MONTHS, 0, key=f"months {number}"
        )
    own = name_of(cv)
    new = ""
    if own:
        new = st.selectbox("Another name", OTHER_NAMES, key=f"name {number}") or ""
    else:
        st.text("No name was found in the CV.")
    try:
        change = Change(tuple(gone), int(months), own, new)
        found = outcome(matcher, ranking, name, cv, change)
    except InputError as fault:
        st.text(visible(str(fault)))
        return
    left, right = st.columns(2)
    moved = found.after - found.before
    changed = change != Change(old=own) or cv != desk.index.text(name)
    delta = f"{moved:+.4f}" if changed else None
    left.metric("Score", f"{found.after:.4f}", delta, delta_color="off")
    climbed = found.rank_before - found.rank_after
    right.metric("Rank", found.rank_after, f"{climbed:+d}" if climbed else None, delta_color="off")
    said = f"unchanged: score {found.before:.4f}, rank {found.rank_before} of {len(ranking.scores)}"
    st.text(said)
