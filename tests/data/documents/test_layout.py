"""The reading order of segments that are placed by hand."""

from itertools import count

import pytest

from jdcv_core.data.documents.layout import Segment, reading_order


def column(x, first, lines, width=200, step=12.0, order=None):
    """Lines below each other; order: the places in which the file draws them"""
    order = order or count()
    return [
        Segment(x, x + width, first + step * n - 8, first + step * n + 2, first + step * n, 10,
                next(order), f"{x}:{n}")
        for n in range(lines)
    ]  # fmt: skip


def contents(order):
    rows = [*order.header, *(row for block in order.body for row in block), *order.footer]
    return [" ".join(segment.content for segment in row) for row in rows]


def names(x, lines):
    return [f"{x}:{n}" for n in range(lines)]


def test_columns_are_read_one_after_the_other_however_they_are_drawn():
    wanted = names(50, 9) + names(300, 9)
    left, right = column(50, 200, 9), column(300, 200, 9)
    for first, second in ((left, right), (right, left)):
        for at, segment in enumerate([*first, *second]):
            segment.order = at
        order = reading_order([*left, *right], 842)
        assert (contents(order), order.columns) == (wanted, 2)
    for at, pair in enumerate(zip(left, right, strict=True)):
        for side, segment in enumerate(pair):
            segment.order = 2 * at + side
    assert contents(reading_order([*left, *right], 842)) == wanted


def test_three_columns_below_a_title_and_above_a_wide_line():
    order = count()
    segments = column(50, 150, 1, width=480, order=order)
    for x in (50, 220, 390):
        segments += column(x, 200, 6, width=140, order=order)
    segments += column(50, 400, 1, width=500, order=order)
    found = reading_order(segments, 842)
    assert found.columns == 3
    assert contents(found) == ["50:0", *names(50, 6), *names(220, 6), *names(390, 6), "50:0"]


def test_dates_at_the_side_stay_with_their_lines():
    order = count()
    segments = []
    for job in range(4):
        segments += column(50, 200 + 60 * job, 1, width=100, order=order)
        segments += column(450, 200 + 60 * job, 1, width=60, order=order)
        segments += column(50, 212 + 60 * job, 4, width=300, order=order)
    found = reading_order(segments, 842)
    assert found.columns == 1
    assert contents(found)[:6] == ["50:0 450:0", *names(50, 4), "50:0 450:0"]


def test_cells_of_several_lines_are_read_cell_by_cell():
    order = count()
    segments = []
    for row in range(3):
        segments += column(50, 200 + 50 * row, 2, width=80, order=order)
        segments += column(200, 200 + 50 * row, 3, width=200, order=order)
    assert contents(reading_order(segments, 842)) == [*names(50, 2), *names(200, 3)] * 3


@pytest.mark.parametrize("lines", [0, 1])
def test_headers_and_footers_are_apart_from_columns(lines):
    order = count()
    segments = column(50, 40, lines, width=100, order=order)
    segments += column(50, 100, 8, order=order) + column(300, 100, 8, order=order)
    segments += column(50, 810, lines, width=100, order=order)
    found = reading_order(segments, 842)
    assert (len(found.header), len(found.body), len(found.footer)) == (lines, 2, lines)
    assert found.columns == 2


def test_no_segment_is_lost_or_doubled():
    from random import Random

    for seed in range(60):
        random = Random(seed)
        segments = [
            Segment(x, x + random.uniform(5, 300), y - 8, y + 2, y, 10, at, str(at))
            for at in range(random.randint(0, 60))
            for x, y in [(random.uniform(-50, 600), random.uniform(-50, 900))]
        ]
        found = " ".join(contents(reading_order(segments, 842))).split()
        assert sorted(map(int, found)) == list(range(len(segments)))
