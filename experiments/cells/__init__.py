"""Cells: one (row, split, seed) each: how it is trained, kept, scheduled and costed."""
