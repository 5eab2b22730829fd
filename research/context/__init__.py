"""Larger context by mask attention: chunks of a CV that see the JD in the encoder.

`pair_rows` says how a pair becomes one row of tokens, `on_rows` trains an encoder and a scorer on
such rows, and `positions` gives an encoder more positions, or none.
"""
