"""Metrics from labels and scores (`classification`, `ranking`), and comparisons (`compare`).

Nothing here imports torch, so a report can be rebuilt from records without it.
"""
