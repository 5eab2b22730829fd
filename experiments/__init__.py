"""Experiments: `run.py` composes a configuration and runs a recipe on it."""
