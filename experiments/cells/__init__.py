"""Cells: train, store, schedule and estimate the cost of one (row, split, seed)."""
