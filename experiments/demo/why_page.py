"""The page *Why*: requirements and evidence, experiences, and what was read of a file. Ours."""

from __future__ import annotations

import tempfile
from datetime import date
from pathlib import Path
from typing import Any

import streamlit as st

from experiments.demo import evidence_html
from experiments.demo.desk import LOCK, Desk
from experiments.demo.file_report import show_file
from experiments.demo.inert import visible
from experiments.demo.people import called, choose, hider
from experiments.demo.what_if import knows_months
from jdcv_core.explanation import Explanation
from jdcv_core.matcher import Matcher
from jdcv_core.months import month_from, month_of
from research.experience.parsing import parse_cv
from research.experience.reference import reference_for_a_person
from research.experience.timeline import timeline
from research.experience.weights import Decay, Linear, Monotone, Uniform


def show(desk: Desk) -> None:
    """Show the page."""
    st.header("Why")
    name = choose(desk)
    if name is None or desk.ranking is None:
        return
    cv = desk.index.text(name)
    if desk.matcher is None:
        _without_model(desk, name)
    else:
        with st.spinner("Explaining"):
            found = desk.explain(name)
        _requirements(found, cv)
    st.subheader("Experiences")
    _experiences(desk.matcher, cv)
    if desk.index is desk.own:
        st.subheader("What was read of the file")
        show_file(desk.uploads[name], called(desk, name), hider(cv))


def _requirements(found: Explanation, cv: str) -> None:
    """Requirements on the left, the CV on the right; for other scorers, effects of chunks."""
    shown = hider(cv)
    st.text(f"score {found.score:.3f} ({found.label})")
    for note in found.notes:
        st.text(visible(shown(f"note: {note}")))
    if not found.requirements:
        st.caption("Effect: the score minus the score without this part of the text.")
        left, right = st.columns(2)
        left.dataframe(_effects(found, "jd", lambda text: text), hide_index=True)
        right.dataframe(_effects(found, "cv", shown), hide_index=True)
        return
    numbers = evidence_html.numbered(found.requirements)
    left, right = st.columns(2)
    with left:
        st.subheader("Requirements of the JD")
        st.html(evidence_html.requirements_html(numbers, shown))
        st.caption(f"{len(found.requirements) - len(numbers)} more lines of hardly any importance")
    with right, st.container(height=700):
        st.subheader("Evidence in the CV")
        st.html(evidence_html.cv_html(cv, numbers, shown))


def _effects(found: Explanation, side: str, shown: evidence_html.Shown) -> list[dict[str, Any]]:
    effects = sorted(found.cv if side == "cv" else found.jd, key=lambda e: -e.effect)
    return [{"effect": e.effect, side.upper(): visible(shown(e.text.strip()))} for e in effects]


def _without_model(desk: Desk, name: str) -> None:
    """Words and chunk pairs, from the search itself."""
    assert desk.ranking is not None
    st.caption("The index has no trained model: words and vectors found this CV.")
    with LOCK:
        found = desk.index.search(jd=desk.ranking.jd, k=1, only=[name])
    shown = hider(desk.index.text(name))
    for match in found:
        st.text(f"words in common: {visible(', '.join(match.common))}")
        rows = [
            {
                "cosine": pair.cosine,
                "JD": visible(pair.query.strip()),
                "CV": visible(shown(pair.document.strip())),
            }
            for pair in match.pairs
        ]
        st.dataframe(rows, hide_index=True)


def _experiences(matcher: Matcher | None, cv: str) -> None:
    """The timeline, with the weight that the model gives to months, if it has one."""
    from experiments.figures.timeline_figure import draw

    parsed, today = parse_cv(cv), date.today()
    reference, why = reference_for_a_person(parsed, month_of(today.year, today.month))
    if matcher is not None and knows_months(matcher):
        reference, why = month_from(matcher.chunker.reference), "of the model"  # type: ignore[attr-defined]
    parsed = parsed.at(reference)
    entries = timeline(cv, parsed, weight_of(matcher))
    shown = hider(cv)
    entries = [{**e, "title": visible(shown(e["title"]))} for e in entries]
    if not entries:
        st.text("no dated experience was found")
        return
    with LOCK, tempfile.TemporaryDirectory() as space:
        file = Path(space) / "timeline.png"
        draw(file, entries, reference, "Darker: more weight", why=why)
        st.image(file.read_bytes())
    weighed = any(e["weight"] is not None for e in entries)
    st.caption(
        "Number and shade: the weight of the months in this model, as a share of the whole."
        if weighed
        else "This model does not weigh months."
    )


def weight_of(matcher: Matcher | None) -> Any:
    """The function of (duration, recency) by which a model weighs experiences; None without one."""
    modules = [] if matcher is None else list(matcher.scorer.modules())
    return next((m for m in modules if isinstance(m, Decay | Linear | Monotone | Uniform)), None)
