"""Files are the same after a kill, and mirrors of them may fail without harm."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import ROOT
from hypothesis import given
from hypothesis import strategies as st

from experiments import trackers
from experiments.trackers import course_path, make_tracker, read_course
from jdcv_core.errors import InputError

CELL = "full, reduced weight decay · seed 0"


def reports(last: int) -> list[tuple[int, dict[str, float]]]:
    """Make the reports of a deterministic cell up to a step, two at every third step."""
    found: list[tuple[int, dict[str, float]]] = []
    for step in range(1, last + 1):
        found.append((step, {"train_loss": 1 / step, "tokens_per_second": 1000.0 + step}))
        if step % 3 == 0:
            found.append((step, {"validation_loss": 2 / step, "validation_weighted_f1": 0.5}))
    return found


def track(tracker, start: int, last: int, cell: str = CELL) -> None:
    tracker.start(cell, start)
    for step, figures in reports(last):
        if step > start:
            tracker.log(step, figures)


def local(folder: Path):
    return make_tracker("local", folder, "exp", {})


def course_of(last: int) -> list[dict[str, float]]:
    return [{"step": step, **figures} for step, figures in reports(last)]


@given(
    died=st.integers(0, 20),
    back=st.integers(0, 20),
    torn=st.binary(max_size=30),
    again=st.booleans(),
)
def test_killed_and_resumed_leaves_the_file_of_a_cell_that_was_not(
    tmp_path_factory, died, back, torn, again
):
    whole, killed = tmp_path_factory.mktemp("whole"), tmp_path_factory.mktemp("killed")
    tracker = local(whole)
    track(tracker, 0, 20)
    tracker.end()
    for checkpoint in [min(back, died)] * (1 + again):
        track(local(killed), 0 if not course_path(killed, CELL).exists() else checkpoint, died)
        with course_path(killed, CELL).open("ab") as file:  # no `end`, and half a line
            file.write(torn.replace(b"\n", b""))
    tracker = local(killed)
    track(tracker, min(back, died), 20)
    tracker.end()
    assert course_path(killed, CELL).read_bytes() == course_path(whole, CELL).read_bytes()
    assert read_course(killed, CELL) == course_of(20)


def test_a_report_is_in_the_file_when_log_returns_even_if_the_process_dies(tmp_path):
    script = f"""
import os, signal
from pathlib import Path
from experiments.trackers import make_tracker
tracker = make_tracker("local", Path({str(tmp_path)!r}), "exp", {{}})
tracker.start("cell", 0)
tracker.log(1, {{"train_loss": 0.5}})
os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", script], cwd=ROOT).returncode == -9
    assert read_course(tmp_path, "cell") == [{"step": 1, "train_loss": 0.5}]


def test_a_start_at_step_0_removes_earlier_reports(tmp_path):
    track(local(tmp_path), 0, 5)
    track(local(tmp_path), 0, 2)
    assert read_course(tmp_path, CELL) == course_of(2)


def test_a_resumed_cell_whose_file_was_removed_continues(tmp_path):
    track(local(tmp_path), 4, 5)
    assert [report["step"] for report in read_course(tmp_path, CELL)] == [5]


def test_figures_that_are_not_finite_are_null_in_the_file_and_nan_when_read(tmp_path):
    tracker = local(tmp_path)
    tracker.start(CELL, 0)
    tracker.log(1, {"step": 1, "a": math.nan, "b": math.inf, "c": np.float32(0.5)})
    (line,) = course_path(tmp_path, CELL).read_text().splitlines()
    assert json.loads(line) == {"step": 1, "a": None, "b": None, "c": 0.5}
    (report,) = read_course(tmp_path, CELL)
    assert math.isnan(report["a"])
    assert math.isnan(report["b"])


@pytest.mark.parametrize("line", ["{}", "[1]", "nonsense", '{"step": null}', '{"step": "a"}'])
def test_a_damaged_line_is_named(tmp_path, line):
    track(local(tmp_path), 0, 1)
    with course_path(tmp_path, CELL).open("a") as file:
        file.write(f"{line}\n")
    with pytest.raises(InputError, match=r"\.jsonl, line 2: "):
        local(tmp_path).start(CELL, 5)
    with pytest.raises(InputError, match=r"\.jsonl, line 2: "):
        read_course(tmp_path, CELL)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_an_error_that_names_the_file(tmp_path):
    tracker = local(tmp_path)
    tracker.start(CELL, 0)
    tracker.file = open("/dev/full", "ab")  # noqa: SIM115
    with pytest.raises(InputError, match=r"seed-0.*No space left"):
        tracker.log(1, {"train_loss": 0.5})


def test_a_folder_that_cannot_be_made_is_an_error_that_names_it(tmp_path):
    (tmp_path / "training").write_text("")
    with pytest.raises(InputError, match="training"):
        local(tmp_path).start(CELL, 0)


@given(st.text(max_size=80), st.text(max_size=80))
def test_different_cells_have_different_files_that_any_file_system_takes(one, other):
    assert (trackers.slug(one) == trackers.slug(other)) == (one == other)
    assert len(trackers.slug(one)) < 80
    assert set(trackers.slug(one)) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")


def test_other_ranks_write_nothing(tmp_path):
    tracker = make_tracker("none", tmp_path, "exp", {})
    track(tracker, 0, 3)
    tracker.end()
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_tracker_is_refused_with_the_nearest(tmp_path):
    with pytest.raises(InputError, match="tracker=wandbb.*Did you mean 'wandb'"):
        make_tracker("wandbb", tmp_path, "exp", {})


class Broken:
    """A mirror that keeps its reports until it raises an error."""

    def __init__(self, at: str) -> None:
        self.at, self.told = at, []

    def _tell(self, what, *arguments):
        self.told.append((what, *arguments))
        if what == self.at:
            raise RuntimeError("disk full\nand a long story")

    def start(self, *arguments):
        self._tell("start", *arguments)

    def log(self, *arguments):
        self._tell("log", *arguments)

    def end(self):
        self._tell("end")


@pytest.mark.parametrize("at", ["start", "log", "end"])
def test_a_mirror_that_fails_is_switched_off_with_one_line_and_the_files_go_on(at, tmp_path, capfd):
    mirror = Broken(at)
    tracker = trackers.MirroredFiles(tmp_path, "wandb", mirror)
    for cell in ("one", "two"):
        track(tracker, 0, 4, cell)
        tracker.end()
        assert read_course(tmp_path, cell) == course_of(4)
    assert [what for what, *_ in mirror.told].count(at) == 1
    said = capfd.readouterr().err.splitlines()
    assert len(said) == 1
    assert "wandb failed" in said[0]
    assert "disk full" in said[0]
    assert "long story" not in said[0]


def test_a_mirror_gets_the_reports_that_are_kept(tmp_path):
    track(local(tmp_path), 0, 7)
    mirror = Broken("never")
    trackers.MirroredFiles(tmp_path, "wandb", mirror).start(CELL, 4)
    assert mirror.told == [("start", CELL, 4, course_of(4))]


# W&B with a replaced client, for behaviour that needs a server


class FakeRun:
    def __init__(self, resumed: bool, last: int) -> None:
        self.resumed, self.summary, self.rows = resumed, {"step": last} if resumed else {}, []
        self.axes, self.finished = [], False

    def define_metric(self, name, step_metric=None):
        self.axes.append((name, step_metric))

    def log(self, row):
        self.rows.append(row)

    def finish(self):
        self.finished = True


@pytest.fixture
def fake(monkeypatch):
    """Replace wandb's functions; `asked` has the arguments of init, `runs` its results."""
    import wandb

    fake = SimpleNamespace(
        mode="online", key=True, last=None, offline_only=False, asked=[], runs=[]
    )

    def init(**arguments):
        fake.asked.append(arguments)
        if fake.offline_only and arguments["mode"] == "online":
            raise wandb.errors.CommError("no route to host")
        online = arguments["mode"] == "online"
        fake.runs.append(FakeRun(online and fake.last is not None, fake.last))
        return fake.runs[-1]

    def settings(_):
        return SimpleNamespace(settings=SimpleNamespace(mode=fake.mode))

    def login(prompt, verify):
        assert (prompt, verify) == (False, False)
        return fake.key

    monkeypatch.setattr(wandb, "init", init)
    monkeypatch.setattr(wandb, "login", login)
    monkeypatch.setattr(wandb, "setup", settings)
    monkeypatch.setattr(wandb, "teardown", lambda: None)
    return fake


def test_a_resumed_online_run_gets_the_missing_reports_once(fake, tmp_path):
    track(local(tmp_path), 0, 7)
    fake.last = 3  # the process was killed after step 7, W&B had received up to step 3
    tracker = make_tracker("wandb", tmp_path, "exp", {})
    track(tracker, 5, 9)
    tracker.end()
    assert fake.asked[0]["resume"] == "allow"
    assert fake.runs[0].rows == [row for row in course_of(9) if row["step"] >= 3]
    assert fake.runs[0].axes == [("step", None), ("*", "step")]
    assert fake.runs[0].finished


def test_a_resumed_online_run_that_was_ahead_gets_no_report_twice(fake, tmp_path):
    track(local(tmp_path), 0, 7)
    fake.last = 7
    track(make_tracker("wandb", tmp_path, "exp", {}), 5, 9)
    assert fake.runs[0].rows == [row for row in course_of(9) if row["step"] >= 7]


def test_a_mirror_gets_the_step_once_even_if_it_is_among_the_figures(tmp_path):
    mirror = Broken("never")
    tracker = trackers.MirroredFiles(tmp_path, "wandb", mirror)
    tracker.start(CELL, 0)
    tracker.log(4, {"step": 4, "train_loss": 0.5})
    assert mirror.told[-1] == ("log", 4, {"train_loss": 0.5})


def test_without_an_answer_from_the_server_it_goes_offline_and_says_so_once(fake, tmp_path, capfd):
    fake.offline_only = True
    tracker = make_tracker("wandb", tmp_path, "exp", {})
    for cell in ("one", "two"):
        track(tracker, 0, 3, cell)
        tracker.end()
    assert [asked["mode"] for asked in fake.asked] == ["online", "offline", "offline"]
    assert fake.runs[0].rows == course_of(3)
    said = capfd.readouterr().err.splitlines()
    assert len(said) == 1
    assert "no route to host" in said[0]


@pytest.mark.parametrize(
    ("mode", "key", "used"),
    [("online", True, "online"), ("online", False, "offline"), ("offline", True, "offline"),
     ("dryrun", True, "offline"), ("disabled", False, "disabled"), ("run", True, "run")],
)  # fmt: skip
def test_the_mode_is_the_users_and_offline_without_a_key(fake, tmp_path, mode, key, used):
    fake.mode, fake.key = mode, key
    make_tracker("wandb", tmp_path, "exp", {"a": 1}).start("row · seed 0", 0)
    (asked,) = fake.asked
    assert asked["mode"] == used
    assert (asked["project"], asked["name"], asked["config"]) == ("jdcv", "row · seed 0", {"a": 1})
    assert asked["group"] == f"exp {tmp_path.name}"


def test_a_run_keeps_its_unique_id_when_the_record_is_renamed(fake, tmp_path):
    for folder, cell in (("a.partial", "x"), ("a", "x"), ("a", "y"), ("b", "x")):
        make_tracker("wandb", tmp_path / folder, "exp", {}).start(cell, 0)
    partial, final, *others = [asked["id"] for asked in fake.asked]
    assert partial == final
    assert len({final, *others}) == 3


def test_a_malformed_key_is_an_input_error(fake, tmp_path, monkeypatch):
    import wandb

    def login(prompt, verify):
        raise wandb.errors.AuthenticationError("API key must have 40+ characters, has 4.")

    monkeypatch.setattr(wandb, "login", login)
    with pytest.raises(InputError, match="tracker=wandb: API key must have"):
        make_tracker("wandb", tmp_path, "exp", {})


# W&B itself, offline, without a key


@pytest.fixture
def offline(tmp_path):
    """offline(code) runs the code with `tracker` for the record `rec.partial`, without a key."""
    (tmp_path / "home").mkdir()
    (tmp_path / "elsewhere").mkdir()
    hidden = ("WANDB", "NETRC", "XDG")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(hidden)}
    environment |= {"HOME": str(tmp_path / "home"), "PYTHONPATH": str(ROOT)}
    head = f"""
import os, signal
from pathlib import Path
from experiments.trackers import make_tracker
def reports(tracker, first, last):
    for step in range(first, last + 1):
        tracker.log(step, {{"train_loss": 1 / step, "gradient_norm": float("nan")}})
tracker = make_tracker("wandb", Path({str(tmp_path)!r}, "rec.partial"), "exp", {{"a": {{"b": 7}}}})
"""

    def start(code: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", head + code], capture_output=True, text=True, env=environment,
            cwd=tmp_path / "elsewhere", stdin=subprocess.DEVNULL, timeout=60,
        )  # fmt: skip

    return start


def logged(run: Path) -> list[dict]:
    """Read the records of an offline run in the same way as `wandb leet`."""
    command = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(run)]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return [json.loads(line) for line in shown.stdout.splitlines()]


def history(run: Path) -> list[dict]:
    rows = [line["history"]["item"] for line in logged(run) if line["type"] == "history"]
    return [{k: v for k, v in row.items() if not k.startswith("_")} for row in rows]


def test_without_a_key_wandb_writes_into_the_record_says_one_line_and_raises_nothing(
    offline, tmp_path
):
    done = offline('tracker.start("row · seed 0", 0)\nreports(tracker, 1, 5)\ntracker.end()\n')
    assert (done.returncode, done.stdout) == (0, "")
    (line,) = done.stderr.splitlines()
    assert f"wandb leet {tmp_path}/rec.partial/wandb " in line
    assert line.endswith(f"wandb sync {tmp_path}/rec/wandb")
    assert list((tmp_path / "elsewhere").iterdir()) == []
    (run,) = (tmp_path / "rec.partial" / "wandb").glob("offline-run-*/run-*.wandb")
    expected = [
        {"step": step, "train_loss": 1 / step, "gradient_norm": "NaN"} for step in range(1, 6)
    ]
    assert history(run) == expected
    assert read_course(tmp_path / "rec.partial", "row · seed 0")[4]["train_loss"] == 0.2


@pytest.mark.slow
def test_a_killed_offline_run_is_whole_after_the_resume(offline, tmp_path):
    kill = "os.kill(os.getpid(), signal.SIGKILL)\n"
    first = offline(f'tracker.start("row · seed 0", 0)\nreports(tracker, 1, 8)\n{kill}')
    assert first.returncode == -9
    again = offline('tracker.start("row · seed 0", 5)\nreports(tracker, 6, 10)\ntracker.end()\n')
    assert again.returncode == 0
    runs = sorted((tmp_path / "rec.partial" / "wandb").glob("offline-run-*/run-*.wandb"))
    assert len({run.name for run in runs}) == 1  # one id
    assert [row["step"] for row in history(runs[-1])] == list(range(1, 11))
    about = next(line["run"] for line in logged(runs[-1]) if line["type"] == "run")
    assert (about["display_name"], about["project"]) == ("row · seed 0", "jdcv")
    assert (about["run_group"], about["config"]["update"]["a"]) == ("exp rec", {"b": 7})


# TensorBoard's files, read by its reader


def scalars(folder: Path, cell: str) -> dict[str, list[tuple[int, float]]]:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = accumulator.EventAccumulator(str(folder / "tensorboard" / trackers.slug(cell)))
    events.Reload()
    return {
        tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]
    }


def expected_scalars(last: int) -> dict[str, list]:
    found: dict[str, list] = {}
    for step, figures in reports(last):
        for name, value in figures.items():
            found.setdefault(name, []).append((step, pytest.approx(value)))
    return found


@pytest.mark.parametrize("checkpoint", [0, 5])
def test_tensorboard_shows_a_killed_and_resumed_cell_as_one(checkpoint, tmp_path):
    pytest.importorskip("tensorboard")
    track(make_tracker("tensorboard", tmp_path, "exp", {}), 0, 8)  # killed: no `end`
    assert scalars(tmp_path, CELL) == expected_scalars(8)
    tracker = make_tracker("tensorboard", tmp_path, "exp", {})
    track(tracker, checkpoint, 12)
    tracker.end()
    assert scalars(tmp_path, CELL) == expected_scalars(12)
    assert read_course(tmp_path, CELL) == course_of(12)


def test_without_the_package_tensorboard_is_refused_with_the_cure(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(InputError, match="pip install tensorboard"):
        make_tracker("tensorboard", tmp_path, "exp", {})
