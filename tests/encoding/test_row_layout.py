"""A layout says which token sees which, and where positions begin."""

import numpy as np
import pytest
from hypothesis import given
from random_rows import LENGTHS, ROWS
from reference.rows import sees

from jdcv_core.encoding.row_layout import (
    Block,
    RowLayout,
    join,
    long_row,
    packed_chunks,
    shared_prefix,
)


@given(ROWS)
def test_what_is_visible_is_what_the_rule_says(layout):
    tokens = range(layout.length)
    wanted = [[sees(layout, t, s) for s in tokens] for t in tokens]
    np.testing.assert_array_equal(layout.visible(), wanted)
    assert layout.visible().diagonal().all()


@given(ROWS)
def test_a_network_of_the_rows_window_has_every_position(layout):
    assert len(layout.positions) == layout.length
    assert layout.window == layout.positions.max() + 1


@given(LENGTHS)
def test_packed_chunks_are_blocks_on_the_diagonal(lengths):
    layout = packed_chunks(lengths)
    assert layout.positions.tolist() == [t for n in lengths for t in range(n)]
    chunk = np.repeat(np.arange(len(lengths)), lengths)
    same = chunk[:, None] == chunk
    np.testing.assert_array_equal(layout.visible(), np.tril(same))
    np.testing.assert_array_equal(packed_chunks(lengths, causal=False).visible(), same)


@given(LENGTHS)
def test_a_reader_is_seen_by_nobody_and_sees_all(lengths):
    layout = shared_prefix(3, lengths, reader=2)
    seen = layout.visible()
    assert not seen[:-2, -2:].any()
    assert seen[-2:, :-2].all()
    assert layout.positions[-2:].tolist() == [3 + max(lengths), 4 + max(lengths)]
    np.testing.assert_array_equal(seen[:-2, :-2], shared_prefix(3, lengths).visible())


def test_a_long_row_has_a_window_a_global_prefix_and_positions_that_restart():
    layout = long_row(2, 5, window=2, restart=3, reader=1)
    assert layout.positions.tolist() == [0, 1, 2, 3, 4, 2, 3, 5]
    rows = ["10000000", "11000000", "11100000", "11110000", "11011000", "11001100", "11000110"]
    assert ["".join(map(str, row)) for row in layout.visible().astype(int)] == [*rows, "1" * 8]
    assert long_row(2, 5, 2).positions.tolist() == list(range(7))


@given(ROWS, ROWS)
def test_joined_rows_do_not_see_each_other(first, second):
    both, cut = join([first, second]), first.length
    seen = both.visible()
    assert not seen[:cut, cut:].any()
    assert not seen[cut:, :cut].any()
    np.testing.assert_array_equal(seen[:cut, :cut], first.visible())
    np.testing.assert_array_equal(seen[cut:, cut:], second.visible())
    np.testing.assert_array_equal(both.positions, [*first.positions, *second.positions])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RowLayout(()), "needs a block"),
        (lambda: RowLayout((Block(1, sees=(0,)),)), "block 0 may only see blocks before it"),
        (lambda: RowLayout((Block(1), Block(1, sees=(2,)))), "block 1 may only see"),
        (lambda: RowLayout((Block(1), Block(1, sees=(0, 0)))), "sees a block twice"),
        (lambda: Block(0), "length 0"),
        (lambda: Block(1, window=0), "window 0"),
        (lambda: Block(1, restart=0), "restart 0"),
        (lambda: Block(1, start=-1), "position -1"),
        (lambda: Block(1, causal=False, window=2), "must be causal"),
    ],
)
def test_a_layout_that_makes_no_sense_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
