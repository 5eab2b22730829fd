"""Shared fixtures. Real CVs and JDs are next to the checkout; without them, tests are skipped."""

import os
from pathlib import Path

# Set before torch is imported: tests run with one thread, so that sums are reproducible.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import pytest
from hypothesis import settings
from thorough import examples

# Use the same examples in every run, and no deadline, because a shared machine may be slow.
settings.register_profile("here", deadline=None, derandomize=True, max_examples=examples(30))
settings.load_profile("here")

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared" / "data"


LONGEST = ("tests/experiments/", "tests/data/test_demo.py", "tests/training/")
"""Tests that run whole experiments. They start first, so that no core waits for the last one."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = [*LONGEST, ""]
    items.sort(key=lambda item: next(n for n, p in enumerate(places) if item.nodeid.startswith(p)))


@pytest.fixture
def shared_data() -> Path:
    """Return the folder of real documents, which is read only."""
    if not SHARED.is_dir():
        pytest.skip(f"needs real documents in {SHARED.relative_to(ROOT.parent)} next to the clone")
    return SHARED
