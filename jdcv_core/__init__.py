"""The baseline and the shared core: records → documents → chunks → vectors → scores → figures.

Nothing here imports `research` or `experiments`.
"""
