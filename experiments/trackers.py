"""Write the figures of training to local files and, if requested, to W&B or TensorBoard.

A *cell* is one row of the table under one seed. Each report of a cell is a line in
`<folder>/training/<slug>.jsonl`; `tracker=wandb` and `tracker=tensorboard` show the same lines in
another place (a mirror). The local file is complete in any case: a mirror that fails is switched
off, and when a cell is resumed, the mirror is filled from the file.
"""

import hashlib
import json
import math
import os
import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from jdcv_core.errors import InputError, nearest
from jdcv_core.progress import console
from jdcv_core.records import PARTIAL

PROJECT = "jdcv"
WAIT_TO_START, WAIT_TO_END = 30.0, 60.0
"""Seconds to wait for the answer of a W&B server, and for the upload of the rest of a cell."""

Report = dict[str, float]
"""One line of a cell: its step and its figures; a figure that was not finite is nan."""


class Tracker(Protocol):
    """The receiver of the training loop's reports, in the process of rank 0.

    All reports of a step must come before the checkpoint of that step, and steps must not decrease.
    Then the file of a cell that was killed and resumed equals that of an uninterrupted cell.
    """

    def start(self, cell: str, step: int) -> None:
        """Start a cell, before its first report; with step > 0, resume it after this step."""

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        """Write one report."""

    def end(self) -> None:
        """End the cell, after its last report."""


class NoTracker:
    """A tracker that discards every report."""

    def start(self, cell: str, step: int) -> None:
        pass

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        pass

    def end(self) -> None:
        pass


class Mirror(Protocol):
    """A second place for the reports of a cell. Any exception that it raises switches it off."""

    def start(self, cell: str, step: int, kept: list[Report]) -> None:
        """Start a cell. kept: the reports up to `step` that are kept when a cell is resumed."""

    def log(self, step: int, figures: Mapping[str, float]) -> None: ...

    def end(self) -> None: ...


def make_tracker(kind: str, folder: Path, experiment: str, config: Mapping[str, Any]) -> Tracker:
    """Make the tracker of an experiment, whose cells run one after another.

    kind:       "local": only files in `folder`; "wandb" or "tensorboard": these files and a mirror;
                "none": no output, for the processes whose rank is not 0
    folder:     folder of the record, with or without `.partial`
    experiment: name of the experiment, for W&B's groups
    config:     the resolved configuration as plain values
    Raises InputError for an unknown kind, a kind that is not installed, and a malformed W&B key.
    """
    if kind == "none":
        return NoTracker()
    if kind not in MIRRORS:
        cure = nearest(kind, list(MIRRORS))
        raise InputError(f"tracker={kind}", "there is no such tracker", cure)
    return MirroredFiles(folder, kind, MIRRORS[kind](folder, experiment, config))


def slug(cell: str) -> str:
    """Return a file name for a cell; different cells have different names, on any file system.

    >>> slug("self + cross attention · seed 0")
    'self-cross-attention-seed-0-111846'
    """
    words = re.sub(r"[^a-z0-9]+", "-", cell.lower()).strip("-")[:60]
    return f"{words}-{hashlib.sha256(cell.encode()).hexdigest()[:6]}"


def course_path(folder: Path, cell: str) -> Path:
    """Return the file of a cell's reports."""
    return folder / "training" / f"{slug(cell)}.jsonl"


def read_course(folder: Path, cell: str) -> list[Report]:
    """Read the reports of a cell in order, in the form that `training_figures` needs.

    An incomplete last line is ignored.
    Raises InputError if the file is missing or another line is not a report.
    """
    path = course_path(folder, cell)
    with _named(path, "read"):
        content = path.read_bytes()
    return [report for report, _ in _reports(path, content)]


class MirroredFiles:
    """The local files and an optional mirror, whose failure does no harm.

    A line is passed to the operating system when it is reported, so a killed process loses no line.
    Raises InputError if a file cannot be written (for example because the disk is full).
    """

    def __init__(self, folder: Path, kind: str, mirror: Mirror | None) -> None:
        self.folder, self.kind, self.mirror = folder, kind, mirror

    def start(self, cell: str, step: int) -> None:
        self.path = course_path(self.folder, cell)
        with _named(self.path, "written"):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            kept = _cut(self.path, step)
            self.file = self.path.open("ab")
        self._show(lambda mirror: mirror.start(cell, step, kept))

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        known = {k: float(v) for k, v in figures.items() if k != "step"}
        plain = {k: v if math.isfinite(v) else None for k, v in known.items()}
        with _named(self.path, "written"):
            self.file.write(json.dumps({"step": step, **plain}).encode() + b"\n")
            self.file.flush()
        self._show(lambda mirror: mirror.log(step, known))

    def end(self) -> None:
        with _named(self.path, "written"):
            self.file.close()
        self._show(lambda mirror: mirror.end())

    def _show(self, call: Callable[[Mirror], None]) -> None:
        if self.mirror is None:
            return
        try:
            call(self.mirror)
        except Exception as fault:  # an error of the service must not end training
            self.mirror = None
            where = f"{self.path.parent} has all figures"
            _say(f"{self.kind} failed and is switched off; {where}. {_first_line(fault)}")


class WandbRuns:
    """One W&B run for each cell, grouped by experiment and record; files are in `<folder>/wandb`.

    Without a key, or without an answer from the server, runs are written offline and can be sent
    later by `wandb sync`. WANDB_MODE and `wandb offline` are respected.

    W&B drops lines that are logged at a step below its counter, and an offline run loses up to its
    last 15 seconds when the process is killed. Therefore its counter is not used: our step is a
    separate metric and the axis of the others. A resumed run is filled from the local file: an
    offline run with all lines (it has the same run id, so it replaces the run of the killed process
    when it is sent), and an online run with the lines that the server lacks.
    """

    def __init__(self, folder: Path, experiment: str, config: Mapping[str, Any]) -> None:
        self.folder, self.config = folder.absolute(), dict(config)
        self.record = f"{experiment} {folder.name.removesuffix(PARTIAL)}"
        self.mode, reason = _wandb_mode()
        if self.mode == "offline":
            self._say_where(reason)

    def start(self, cell: str, step: int, kept: list[Report]) -> None:
        self.run = self._begin(cell)
        self.run.define_metric("step")
        self.run.define_metric("*", step_metric="step")
        self.known = self.run.summary.get("step", -1) if self.run.resumed else -1
        for report in kept:
            self._send(report)

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        self._send({"step": step, **figures})

    def end(self) -> None:
        self.run.finish()

    def _send(self, report: Mapping[str, float]) -> None:
        if report["step"] >= self.known:  # the server has the reports below
            self.run.log(dict(report))

    def _begin(self, cell: str) -> Any:
        try:
            return self._init(cell)
        except Exception as fault:
            if self.mode == "offline":
                raise
            import wandb

            wandb.teardown()  # otherwise the failed run blocks its id
            self.mode = "offline"
            self._say_where(_first_line(fault))
            return self._init(cell)

    def _init(self, cell: str) -> Any:
        import wandb

        # The id does not change when the record takes its final name or moves to another disk.
        name = hashlib.sha256(f"{self.record} {cell}".encode()).hexdigest()[:16]
        return wandb.init(
            project=PROJECT,
            group=self.record,
            name=cell,
            id=name,
            config=self.config,
            dir=str(self.folder),
            mode=self.mode,  # type: ignore[arg-type]
            resume=None if self.mode == "offline" else "allow",
            reinit="create_new",
            settings=wandb.Settings(
                silent=True,
                console="off",
                init_timeout=WAIT_TO_START,
                finish_timeout=WAIT_TO_END,
            ),
        )

    def _say_where(self, reason: str) -> None:
        now = self.folder / "wandb"
        later = self.folder.with_name(self.folder.name.removesuffix(PARTIAL)) / "wandb"
        _say(
            f"wandb is offline ({reason}). View: wandb leet {shlex.quote(str(now))}   "
            f"Upload at the end: wandb sync {shlex.quote(str(later))}"
        )


class TensorBoardFiles:
    """One event file for each cell and process in `<folder>/tensorboard/<slug>`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "tensorboard"
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as fault:
            what, cure = f"the package is missing ({fault})", "run pip install tensorboard"
            raise InputError("tracker=tensorboard", what, cure) from fault
        self.make = SummaryWriter
        # The parent folder keeps its name when the record takes its final one.
        _say(f"View: tensorboard --logdir {shlex.quote(str(folder.absolute().parent))}")

    def start(self, cell: str, step: int, kept: list[Report]) -> None:
        # TensorBoard hides the lines that a killed process wrote from this step on.
        purge = step + 1 if step else 0
        self.writer = self.make(str(self.folder / slug(cell)), purge_step=purge)

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        for name, value in figures.items():
            self.writer.add_scalar(name, value, step)
        self.writer.flush()

    def end(self) -> None:
        self.writer.close()


MIRRORS: dict[str, Callable[[Path, str, Mapping[str, Any]], Mirror | None]] = {
    "local": lambda folder, experiment, config: None,
    "wandb": WandbRuns,
    "tensorboard": lambda folder, experiment, config: TensorBoardFiles(folder),
}
"""The values of `tracker=`."""


def _wandb_mode() -> tuple[str, str]:
    """Return W&B's mode and the reason for it: the user's choice, or offline without a key.

    It does not prompt for a key and opens no connection.
    """
    import wandb

    try:
        chosen = wandb.setup(wandb.Settings(silent=True)).settings.mode
    except ValueError as fault:
        what = " ".join(str(fault).splitlines()[1:3])
        raise InputError(
            "settings of wandb", what, "correct WANDB_MODE and similar variables"
        ) from fault
    if chosen in ("offline", "dryrun"):
        return "offline", "as chosen"
    if chosen == "disabled":
        return "disabled", "as chosen"
    try:
        if wandb.login(prompt=False, verify=False):
            return chosen, "there is a key"
    except wandb.errors.AuthenticationError as fault:
        cure = "give the key again by `wandb login`, or set WANDB_MODE=offline"
        raise InputError("tracker=wandb", _first_line(fault), cure) from fault
    return "offline", "there is no key"


def _cut(path: Path, step: int) -> list[Report]:
    """Keep only the reports up to `step` in the file (none for step 0) and return them.

    A killed process may have reported steps after its checkpoint, and its last line may be
    incomplete.
    """
    kept, end = [], 0
    if step > 0 and path.exists():
        for report, stop in _reports(path, path.read_bytes()):
            if report["step"] > step:
                break
            kept.append(report)
            end = stop
    if path.exists():
        os.truncate(path, end)
    return kept


def _reports(path: Path, content: bytes) -> Iterator[tuple[Report, int]]:
    """Yield each complete line and the position in the file where the next line starts."""
    end = 0
    for number, line in enumerate(content.split(b"\n")[:-1], start=1):
        end += len(line) + 1
        try:
            figures = json.loads(line)
            report = {k: math.nan if v is None else v for k, v in figures.items()}
            report["step"] = int(report["step"])
        except (ValueError, AttributeError, KeyError) as fault:
            what, cure = "it is not a report of training", "remove the line"
            raise InputError(f"{path}, line {number}", what, cure) from fault
        yield report, end


@contextmanager
def _named(path: Path, verb: str) -> Iterator[None]:
    try:
        yield
    except OSError as fault:
        cure = "free space on the disk, or correct the permissions of the folder"
        raise InputError(str(path), f"cannot be {verb} ({fault.strerror})", cure) from fault


def _first_line(fault: BaseException) -> str:
    lines = str(fault).strip().splitlines()
    return lines[0][:200].rstrip(". ") if lines else type(fault).__name__


def _say(line: str) -> None:
    console.print(line, soft_wrap=True, markup=False, highlight=False)
