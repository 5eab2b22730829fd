"""A record is complete or named partial, and the data read equal the data written."""

import json
import math
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from importlib import metadata
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jdcv_core.errors import InputError
from jdcv_core.records import (
    append_record,
    config_hash,
    finish_record,
    git_state,
    read_records,
    start_record,
    versions,
    write_predictions,
    write_text,
)

NOON = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)

plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    # A file in UTF-8 cannot hold a lone surrogate.
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab_é"), inner, max_size=3),
    max_leaves=8,
)
line = st.dictionaries(st.text("ab_é"), plain, max_size=4)


def test_an_experiment_is_partial_until_it_is_finished(tmp_path: Path):
    folder = start_record(tmp_path, "chunk_attention", {"seed": 0}, now=NOON)
    expected = f"20261123T120000Z-{config_hash({'seed': 0})[:8]}"
    assert folder == tmp_path / "chunk_attention" / f"{expected}.partial"
    append_record(folder, {"variant": "mean"})
    write_text(folder, "table.md", "| variant |\n")
    assert not (folder.parent / expected).exists()
    finished = finish_record(folder)
    assert finished == folder.parent / expected
    assert not folder.exists()
    assert read_records(finished) == [{"variant": "mean"}]
    assert (finished / "table.md").read_text(encoding="utf-8") == "| variant |\n"
    assert {path.name for path in finished.iterdir()} == {"record.jsonl", "table.md"}
    with pytest.raises(ValueError, match="does not end in"):
        finish_record(finished)


def test_the_time_in_the_id_is_utc(tmp_path: Path):
    later = NOON.astimezone(timezone(timedelta(hours=9)))
    assert start_record(tmp_path, "a", {}, later).name.startswith("20261123T120000Z-")


def test_experiments_of_the_same_second_get_separate_folders(tmp_path: Path):
    with ThreadPoolExecutor(8) as pool:
        folders = list(pool.map(lambda _: start_record(tmp_path, "a", {}, NOON), range(16)))
    assert len(set(folders)) == 16
    finished = [finish_record(folder) for folder in folders]
    again = start_record(tmp_path, "a", {}, NOON)
    assert finish_record(again) not in finished
    assert len(list((tmp_path / "a").iterdir())) == 17


def test_a_root_that_is_a_file_is_named(tmp_path: Path):
    (tmp_path / "runs").write_text("not a folder")
    with pytest.raises(InputError, match=r"runs/a: cannot be made .*\. Choose another folder"):
        start_record(tmp_path / "runs", "a", {}, NOON)


@settings(deadline=None)
@given(lines=st.lists(line, max_size=5))
def test_lines_are_read_as_they_were_written(
    tmp_path_factory: pytest.TempPathFactory, lines: list[dict]
):
    folder = start_record(tmp_path_factory.mktemp("runs"), "a", {})
    (folder / "record.jsonl").touch()
    for content in lines:
        append_record(folder, content)
    assert read_records(folder) == lines


def test_numpy_values_and_undefined_figures_become_plain_json(tmp_path: Path):
    values = {"f1": np.float32(0.5), "n": np.int64(3), "per_jd": np.array([0.25, np.nan])}
    append_record(tmp_path, values | {"auc": math.nan, "seeds": (0, 1)})
    assert read_records(tmp_path) == [
        {"f1": 0.5, "n": 3, "per_jd": [0.25, None], "auc": None, "seeds": [0, 1]}
    ]
    text = (tmp_path / "record.jsonl").read_text(encoding="utf-8")
    json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))


@pytest.mark.parametrize(
    ("value", "error"), [(math.inf, ValueError), (object(), TypeError), ({(1, 2): 2}, TypeError)]
)
def test_a_value_that_json_cannot_hold_is_refused_and_nothing_is_written(tmp_path, value, error):
    append_record(tmp_path, {"whole": True})
    with pytest.raises(error):
        append_record(tmp_path, {"value": value})
    assert read_records(tmp_path) == [{"whole": True}]


def test_a_killed_experiment_leaves_its_finished_lines_and_stays_partial(tmp_path: Path):
    script = """
import sys
from jdcv_core.records import append_record, start_record
folder = start_record(sys.argv[1], "a", {})
for seed in range(3):
    append_record(folder, {"seed": seed})
(folder / "record.jsonl").open("a").write('{"seed": 3, "weighted_f1": 0.')
print("written", flush=True)
sys.stdin.read()
"""
    killed = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert killed.stdout.readline() == b"written\n"
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    (folder,) = (tmp_path / "a").iterdir()
    assert folder.name.endswith(".partial")
    assert read_records(folder) == [{"seed": 0}, {"seed": 1}, {"seed": 2}]
    append_record(folder, {"seed": 3})  # overwrites the incomplete line
    assert [line["seed"] for line in read_records(folder)] == [0, 1, 2, 3]


def test_an_invalid_line_is_named_with_its_number(tmp_path: Path):
    with pytest.raises(InputError, match=r"record\.jsonl: there is no such file\."):
        read_records(tmp_path)
    (tmp_path / "record.jsonl").write_bytes(b'{"a": 1}\n\xff\xfe\n')
    with pytest.raises(InputError, match=r"record\.jsonl, line 2: it is not a JSON object\."):
        read_records(tmp_path)
    (tmp_path / "record.jsonl").write_bytes(b"[1]\n")
    with pytest.raises(InputError, match="line 1"):
        read_records(tmp_path)


def test_predictions_come_back_and_are_the_same_bytes_again(tmp_path: Path):
    columns = {
        "variant": ["mean", "mean"],
        "seed": np.array([0, 1]),
        "jd": ["jd:1", "jd:2"],
        "cv": ["cv:1", "cv:1"],
        "label": np.array([0, 2]),
        "predicted": np.array([1, 2]),
        "score": np.array([0.25, 0.75]),
    }
    path = write_predictions(tmp_path, columns)
    assert path == tmp_path / "predictions.parquet"
    read = pyarrow.parquet.read_table(path).to_pydict()
    assert read == {name: list(column) for name, column in columns.items()}
    (tmp_path / "again").mkdir()
    assert write_predictions(tmp_path / "again", columns).read_bytes() == path.read_bytes()
    with pytest.raises(ValueError, match="length"):
        write_predictions(tmp_path, {"a": [1], "b": [1, 2]})


@settings(deadline=None)
@given(line, st.randoms(use_true_random=False))
def test_the_hash_is_of_the_content_not_of_the_order_of_keys(config, random):
    keys = random.sample(sorted(config), len(config))
    assert config_hash({key: config[key] for key in keys}) == config_hash(config)


def test_the_hash_tells_configurations_apart():
    configs = [{}, {"a": 1}, {"a": 2}, {"a": "1"}, {"a": None}, {"b": 1}, {"a": {"b": 1}}]
    configs += [{"a": [1, 2]}, {"a": [2, 1]}, {"a": True}]
    assert len({config_hash(config) for config in configs}) == len(configs)
    assert config_hash({"seeds": (0, 1)}) == config_hash({"seeds": [0, 1]})
    assert config_hash({"exp": "é"}) == "e40d1428cd0c"  # the same on every machine
    with pytest.raises(TypeError):
        config_hash({"path": Path("a")})


@pytest.fixture
def git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Run git in an empty repository, without this machine's settings."""
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    repository = tmp_path / "repository"
    repository.mkdir()

    def run(*arguments: str) -> str:
        identity = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
        done = subprocess.run(
            ["git", "-C", str(repository), *identity, *arguments],
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout.strip()

    run("init", "--quiet")
    return run


def test_git_state_is_the_commit_and_whether_files_differ(tmp_path: Path, git):
    repository = tmp_path / "repository"
    assert git_state(repository) is None  # no commit yet
    (repository / "code.py").write_text("a = 1\n")
    (repository / ".gitignore").write_text("runs/\n")
    git("add", ".")
    git("commit", "--quiet", "-m", "first")
    clean = {"commit": git("rev-parse", "HEAD"), "dirty": False}
    (repository / "runs").mkdir()
    (repository / "runs" / "record.jsonl").touch()  # git ignores it, so it is not code
    assert git_state(repository) == clean
    (repository / "new.py").touch()
    assert git_state(repository) == clean | {"dirty": True}
    (repository / "new.py").unlink()
    (repository / "code.py").write_text("a = 2\n")
    assert git_state(repository) == clean | {"dirty": True}


def test_git_state_is_none_outside_of_the_projects_work_tree(tmp_path: Path, git, monkeypatch):
    repository = tmp_path / "repository"
    git("commit", "--quiet", "--allow-empty", "-m", "first")
    (repository / "site-packages").mkdir()
    assert git_state(repository) is not None
    assert git_state(repository / "site-packages") is None  # installed inside another project
    assert git_state(tmp_path) is None
    monkeypatch.setenv("GIT_DIR", str(repository / ".git"))  # as inside a git hook
    assert git_state(tmp_path) is None
    monkeypatch.setenv("PATH", "")
    assert git_state(repository) is None  # no git


def test_versions_are_those_installed():
    found = versions()
    assert found["torch"] == metadata.version("torch")
    assert found["jdcv"] == metadata.version("jdcv")
    assert set(found) >= {"python", "machine", "transformers", "numpy", "ir-measures"}
