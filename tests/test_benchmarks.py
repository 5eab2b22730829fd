"""Run a few points of the benchmark that kills training: each must end with the same weights."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.slow  # tests/training/test_resume.py kills in one process, at every step
def test_killed_training_ends_in_the_same_weights():
    command = [sys.executable, str(ROOT / "benchmarks" / "resume_kill.py"), "--points", "3"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["points"] == found["equal"] == 3
    assert found["kills"] >= 1  # a random moment may be after the end on a busy machine
