"""The figure of a pair shows each requirement, and links as wide as importance times coverage."""

import pytest
from matplotlib.patches import PathPatch

from experiments.figures import requirements_figure as drawn
from jdcv_core.requirements import Answer, Requirement

KAFKA = Answer(7, 70, 80, "Ran Kafka for $5 and $6", 0.9, "Engineer", "2019-2022", 39, 12)
BREAD = Answer(3, 30, 40, "Baked _bread_", 0.6, "Baker", "2015-2018", 43, 60)
DUTCH = Answer(9, 90, 99, "Speaks Dutch", 0.9)


def requirement(text, importance, covered, *answers, listed=True):
    return Requirement(0, 0, 1, text, importance, covered, 1.0, listed, answers)


SHOWN = [
    requirement("Welding", 0.3, 0.0, KAFKA),
    requirement("Years of Kafka", 0.4, 0.9, KAFKA, BREAD),
    requirement("Bread", 0.2, 0.5, BREAD),
    requirement("Streams", 0.1, 0.8, KAFKA),
    requirement("Lunch", 0.0, 1.0, DUTCH, listed=False),
]


@pytest.fixture
def figure(tmp_path, monkeypatch):
    figures = []
    monkeypatch.setattr(drawn.plt, "close", figures.append)
    drawn.draw(tmp_path / "pair.png", SHOWN, "the $title$", ["a", "b", "c", "d"])
    assert (tmp_path / "pair.png").read_bytes().startswith(b"\x89PNG")
    return figures[0]


def heights(figure):
    return {text.get_text(): text.get_position()[1] for text in figure.axes[0].texts}


def test_texts_are_in_order_and_a_line_of_the_cv_is_drawn_once(figure):
    at = heights(figure)
    left = ["Years of Kafka", "Streams", "Bread", "Welding"]
    right = [
        "Baker, 2015-2018, 43 months, ended 60 months ago",
        "Baked _bread_",
        "Engineer, 2019-2022, 39 months, ended 12 months ago",
        "Ran Kafka for $5 and $6",
    ]
    for column in (left, right):
        places = [at[text] for text in column]
        assert places == sorted(places, reverse=True)
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert texts.count("Ran Kafka for $5 and $6") == 1
    assert not {"Lunch", "Speaks Dutch"} & set(texts)
    assert {"matched 2", "partly 1", "missing 1", "a", "c", "and 1 more notes"} <= set(texts)
    assert any(text.endswith("; 1 lines of the JD are left out") for text in texts)


def test_a_link_is_as_wide_as_importance_times_coverage(figure):
    at = heights(figure)
    links = [p for p in figure.axes[0].patches if isinstance(p, PathPatch)]
    found = {}
    for link in links:
        (_, y), *_, (_, end) = link.get_path().vertices
        found[y, end] = link.get_linewidth()
    wanted = {
        (at[r.text], at[r.answers[0].text]): drawn.WIDEST * r.importance * r.covered / 0.4
        for r in SHOWN[1:4]
    }
    assert found == pytest.approx(wanted)


def test_only_the_most_important_requirements_are_drawn(tmp_path, monkeypatch):
    figures = []
    monkeypatch.setattr(drawn.plt, "close", figures.append)
    many = [requirement(f"number {n}.", 0.01 * (n + 1), 0.5, BREAD) for n in range(30)]
    drawn.draw(tmp_path / "pair.png", many, "")
    shown = {text for text in heights(figures[0]) if text.startswith("number")}
    assert shown == {f"number {n}." for n in range(30 - drawn.MOST, 30)}


def test_a_pair_in_which_all_is_missing_is_drawn(tmp_path):
    drawn.draw(tmp_path / "pair.svg", SHOWN[:1], "")
    assert (tmp_path / "pair.svg").stat().st_size > 1000
