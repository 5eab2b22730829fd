"""Random layouts of rows, for property tests."""

from hypothesis import strategies as st

from jdcv_core.encoding.row_layout import Block, RowLayout, long_row, packed_chunks, shared_prefix

LENGTHS = st.lists(st.integers(1, 9), min_size=1, max_size=6)
PACKED = LENGTHS.map(packed_chunks)
SHARED = st.builds(shared_prefix, st.integers(1, 8), LENGTHS, st.integers(0, 3))
LONG = st.builds(
    long_row,
    st.integers(1, 5),
    st.integers(1, 25),
    st.integers(1, 9),
    st.none() | st.integers(1, 8),
    st.integers(0, 3),
)


@st.composite
def free_rows(draw) -> RowLayout:
    """A layout of any form: each block sees any earlier blocks."""
    blocks = []
    for number in range(draw(st.integers(1, 6))):
        causal = draw(st.booleans())
        blocks.append(
            Block(
                draw(st.integers(1, 9)),
                tuple(n for n in range(number) if draw(st.booleans())),
                draw(st.integers(0, 9)),
                causal,
                draw(st.none() | st.integers(1, 5)) if causal else None,
            )
        )
    return RowLayout(tuple(blocks))


ROWS = st.one_of(PACKED, SHARED, LONG, free_rows())
