"""The output of `estimate=true`, and the figure of quality against operations."""

import math
from io import StringIO

import matplotlib.pyplot as plt
import pytest
from rich.console import Console

from experiments.figures import scaling_figure
from experiments.figures.scaling_figure import Point, draw
from experiments.report.cost_table import available_memory, duration, short, show
from jdcv_core.training.cost import Estimate, Work


def shown(gpu_tflops=None):
    def row(name, size, gpu=gpu_tflops):
        work = Work(name, "lora", 10**6, 10**5, 1024, 8, 1_557_611_200, 16_000_000)
        return Estimate(work, 2e15, size, 30.0, 5e9 if gpu else None, 0.5 if gpu else None)

    text = StringIO()
    estimates = [row("fits", 2e9), row("does not", 31.1e9)]
    console = Console(file=text, width=80)
    show(estimates, 1.6e11, "cpu", gpu_tflops, memory_here=25e9, console=console)
    return text.getvalue()


def test_the_table_shows_the_cost_and_the_assumptions():
    text = shown(gpu_tflops=989)
    for expected in (
        "1.6B",
        "16M",
        "1.1M",
        "30.0 h",
        "30 min",
        "assumed to reach 18% of its 989",
        "0.16",
    ):
        assert expected in text
    assert "…" not in text  # nothing is cut off at 80 columns
    assert "GPU" not in shown()


def test_a_row_that_does_not_fit_is_marked():
    text = shown()
    assert "31.1!" in text
    assert "does not: it needs more memory than this machine has (25.0 GB)" in text
    assert "fits: " not in text
    assert "2.0!" not in text
    assert available_memory("cpu") > 1e8


@pytest.mark.parametrize(
    ("hours", "text"), [(0.001, "4 s"), (0.5, "30 min"), (30, "30.0 h"), (1000, "41.7 days")]
)
def test_durations_read_well(hours, text):
    assert duration(hours) == text


@pytest.mark.parametrize(
    ("count", "text"), [(950, "950"), (3_160_000, "3.2M"), (124_439_808, "124M")]
)
def test_counts_read_well(count, text):
    assert short(count) == text


def test_the_figure_holds_each_point_with_its_bar(tmp_path, monkeypatch):
    made = []
    monkeypatch.setattr(scaling_figure.plt, "close", made.append)
    points = [
        Point("large", 774_030_080, 5e15, {"weighted_f1": (0.7, 0.05), "auc_good": (0.8, 0.1)}),
        Point("small", 124_439_808, 6e14, {"weighted_f1": (0.6, math.nan)}),
        Point("floor", 0, 0.0, {"weighted_f1": (0.3, 0.0)}),
    ]
    assert draw(tmp_path, points).stat().st_size > 10_000
    axis = made[0].axes[0]
    line, bars = axis.lines[0], axis.collections[0].get_segments()
    assert line.get_xydata().tolist() == [[6e14, 0.6], [5e15, 0.7]]
    assert [pytest.approx(bar[:, 1].tolist()) for bar in bars] == [[0.6, 0.6], [0.65, 0.75]]
    assert axis.get_xscale() == "log"
    assert [text.get_text() for text in axis.texts] == ["small\n124M", "large\n774M"]
    assert len(made[0].axes[2].texts) == 0  # a metric that no point has
    plt.close("all")


def test_without_a_trained_row_there_is_no_figure(tmp_path):
    assert draw(tmp_path, [Point("floor", 0, 0.0, {})]) is None
    assert not list(tmp_path.iterdir())
