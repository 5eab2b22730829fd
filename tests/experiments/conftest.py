"""A small corpus and a tiny encoder, so that a whole experiment runs in seconds."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def cache(tmp_path_factory) -> Path:
    """A cache for all tests: later experiments find the encoder and vectors of the first one."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def run(cache, tmp_path):
    """run(*arguments) → the finished process of experiments/run.py, as a user starts it."""

    def start(*arguments: str) -> subprocess.CompletedProcess[str]:
        places = (f"runs_dir={tmp_path}/runs", f"cache_dir={cache}")
        command = [sys.executable, str(ROOT / "experiments" / "run.py"), *arguments, *places]
        return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=300)

    return start
