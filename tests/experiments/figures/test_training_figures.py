"""The lines, dots and bars of the figures show the reported values."""

import math

import numpy as np
import pytest

from experiments.figures import training_figures as drawn

ROWS = [f"row {i}: every chunk pair is trained on the label of its pair" for i in range(8)]
CLASSES = ("No Fit", "Potential Fit", "Good Fit")


def course(seed: int, steps: int = 60) -> list[dict[str, float]]:
    """Make reports like the loop: train figures every 5 steps, a validation every 10."""
    random = np.random.default_rng(seed)
    reports = []
    for step in range(5, steps + 1, 5):
        reports.append({"step": step, "train_loss": random.random(), "learning_rate": 1e-5})
        if step % 10 == 0:
            loss, f1 = random.random(2)
            reports.append({"step": step, "validation_loss": loss, "validation_weighted_f1": f1})
    return reports


@pytest.fixture(scope="module")
def courses():
    return {row: {s: course(10 * i + s) for s in range(3)} for i, row in enumerate(ROWS)}


@pytest.fixture(scope="module")
def predictions():
    random = np.random.default_rng(0)
    columns = {"variant": [], "seed": [], "label": [], "predicted": []}
    for row in ROWS:
        for seed in (4, 2):
            columns["variant"] += [row] * 50
            columns["seed"] += [seed] * 50
            columns["label"] += random.integers(3, size=50).tolist()
            columns["predicted"] += random.integers(2, size=50).tolist()  # Good is never predicted
    return columns


def lines(axis, label: str) -> list[tuple[list[float], list[float]]]:
    return [
        (list(line.get_xdata()), list(line.get_ydata()))
        for line in axis.lines
        if line.get_label() == label
    ]


def dots(axis) -> set[tuple[float, float]]:
    marked = [line for line in axis.lines if line.get_marker() == "o"]
    return {(line.get_xdata()[0], line.get_ydata()[0]) for line in marked}


def test_each_cell_is_a_line_through_what_it_reported(courses):
    figure = drawn.draw_training(courses)
    names = ("train_loss", "validation_loss", "validation_weighted_f1")
    for axis, name in zip(figure.axes, names, strict=True):
        for row, seeds in courses.items():
            for seed, reports in seeds.items():
                expected = [(r["step"], r[name]) for r in reports if name in r]
                ((steps, values),) = lines(axis, f"{row} · seed {seed}")
                assert list(zip(steps, values, strict=True)) == expected


def test_a_row_has_one_colour_and_rows_differ(courses):
    figure = drawn.draw_training(courses)
    looks = {
        row: {
            (tuple(line.get_color()), line.get_linestyle())
            for axis in figure.axes
            for line in axis.lines
            if line.get_label().startswith(row)
        }
        for row in ROWS
    }
    assert all(len(look) == 1 for look in looks.values())
    assert len(set.union(*looks.values())) == len(ROWS)


def test_twelve_rows_still_look_different():
    many = {f"row {i}": {0: course(i)} for i in range(12)}
    axis = drawn.draw_training(many).axes[0]
    looks = {(tuple(line.get_color()), line.get_linestyle()) for line in axis.lines}
    assert len(looks) == 12


def test_the_thick_line_is_the_mean_over_the_steps_that_all_seeds_reached():
    short, long = course(0, steps=30), course(1, steps=60)
    axis = drawn.draw_training({"row": {0: short, 1: long}}).axes[2]
    ((steps, means),) = lines(axis, "row")
    assert steps == [10, 20, 30]
    of = {r["step"]: r["validation_weighted_f1"] for r in long if "validation_loss" in r}
    for report in short:
        if "validation_loss" in report:
            expected = (report["validation_weighted_f1"] + of[report["step"]]) / 2
            assert means[steps.index(report["step"])] == pytest.approx(expected)


def test_the_dots_mark_the_earliest_best_look_in_both_panels_of_validation():
    figures = [(10, 0.9, 0.4), (20, 0.5, 0.7), (30, 0.6, 0.7), (40, 0.1, math.nan)]
    reports = [
        {"step": s, "validation_loss": loss, "validation_weighted_f1": f1}
        for s, loss, f1 in figures
    ]
    train, loss, f1 = drawn.draw_training({"row": {0: reports}}).axes
    assert (dots(train), dots(loss), dots(f1)) == (set(), {(20, 0.5)}, {(20, 0.7)})


def test_a_figure_that_no_cell_reported_leaves_its_panel_empty_and_says_so():
    figure = drawn.draw_training({"row": {s: [{"step": 1, "train_loss": 1.0}] for s in (0, 1)}})
    said = [[text.get_text() for text in axis.texts] for axis in figure.axes]
    assert said == [[], ["not reported"], ["not reported"]]


def test_undefined_figures_are_gaps_whether_nan_or_null():
    for undefined in (None, math.nan):
        steps, values = drawn.series([{"step": 1, "a": undefined}, {"step": 2, "a": 0.5}], "a")
        assert steps == [1, 2]
        assert math.isnan(values[0])
        assert values[1] == 0.5
    assert drawn.best_step([{"step": 1, drawn.WATCHED: None}]) is None


def test_courses_come_from_the_lines_of_a_record():
    reports = course(0)
    record = [
        {"variant": "majority class", "seed": 0, "course": []},
        {"variant": "ceiling", "seed": 0},
        {"variant": "row", "seed": 0, "course": reports},
        {"variant": "row", "seed": 1, "course": reports[:2]},
    ]
    assert drawn.courses_of(record) == {"row": {0: reports, 1: reports[:2]}}


def test_per_class_figures_equal_those_counted_by_hand(predictions):
    found = drawn.per_class(predictions)
    assert list(found) == ROWS
    for row in ROWS:
        assert list(found[row]) == [4, 2]
        for seed in found[row]:
            mine = [
                (label, guess)
                for variant, s, label, guess in zip(*predictions.values(), strict=True)
                if (variant, s) == (row, seed)
            ]
            for label in range(3):
                hits = sum(pair == (label, label) for pair in mine)
                of_class = sum(y == label for y, _ in mine)
                guessed = sum(p == label for _, p in mine)
                expected = (
                    hits / guessed if guessed else 0.0,
                    hits / of_class,
                    2 * hits / (of_class + guessed),
                )
                assert found[row][seed][:, label] == pytest.approx(expected)


def test_per_class_draws_a_dot_a_seed_and_a_bar_at_their_mean(predictions):
    found = drawn.per_class(predictions)
    figure = drawn.draw_per_class(predictions)
    for m, axis in enumerate(figure.axes):
        marked = [(line.get_marker(), line) for line in axis.lines]
        points = [line for marker, line in marked if marker == "o"]
        bars = [line for marker, line in marked if marker == "|"]
        assert len(points) == len(bars) == 3 * len(ROWS)
        for at, row in enumerate(ROWS):
            values = np.stack(list(found[row].values()))[:, m]  # [seed label]
            for label in range(3):
                point, bar = points[3 * at + label], bars[3 * at + label]
                assert list(point.get_xdata()) == pytest.approx(values[:, label].tolist())
                assert bar.get_xdata()[0] == pytest.approx(values[:, label].mean())
                assert bar.get_ydata()[0] == pytest.approx(at, abs=0.4)
    (legend,) = figure.legends
    assert tuple(text.get_text() for text in legend.get_texts()) == CLASSES
    bottom, top = figure.axes[0].get_ylim()
    assert bottom > top  # the first row is on top, as in the table


def test_nothing_is_cut_off_or_overlaps_with_long_names_and_eight_rows(courses, predictions):
    for figure in (drawn.draw_training(courses), drawn.draw_per_class(predictions)):
        figure.draw_without_rendering()
        (legend,) = figure.legends
        box, whole = legend.get_window_extent(), figure.bbox
        assert whole.x0 <= box.x0
        assert box.x1 <= whole.x1
        assert whole.y0 <= box.y0
        assert box.y1 <= whole.y1
        panels = [axis.get_tightbbox() for axis in figure.axes]
        for tight in panels:
            assert not box.overlaps(tight)
            assert tight.x0 >= whole.x0
            assert tight.x1 <= whole.x1
        names = [text.get_window_extent() for text in figure.axes[0].get_yticklabels()]
        assert not any(a.overlaps(b) for a, b in zip(names, names[1:], strict=False))


def test_both_are_written_as_png_and_the_first_only_after_a_training(tmp_path):
    predictions = {"variant": ["row"], "seed": [0], "label": [2], "predicted": [1]}
    drawn.draw(tmp_path, [{"variant": "majority class", "seed": 0}], predictions)
    assert [path.name for path in tmp_path.iterdir()] == ["per_class.png"]
    drawn.draw(tmp_path, [{"variant": "row", "seed": 0, "course": course(0)}], predictions)
    for name in ("training", "per_class"):
        assert (tmp_path / f"{name}.png").read_bytes()[:4] == b"\x89PNG"
