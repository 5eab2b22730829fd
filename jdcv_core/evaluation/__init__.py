"""From labels and scores to figures: `classification`, `ranking`, and `statistics` over both.

Nothing here imports torch, so a report can be rebuilt from records without it.
"""
