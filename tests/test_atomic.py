"""A name has its old or its new content, whichever call fails; only one process has a lock."""

import itertools
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from failing_os import FAULTS, failing_os, watched_os

from jdcv_core.atomic import (
    atomic_file,
    atomic_folder,
    lock,
    remove_leftovers,
    scratch_folder,
    sync_tree,
)


def new_file(path: Path) -> None:
    with atomic_file(path) as file:
        file.write("new")


def new_folder(path: Path) -> None:
    with atomic_folder(path) as temporary:
        (temporary / "deep").mkdir()
        (temporary / "deep" / "a").write_text("new")


def content(path: Path) -> str:
    """Return the content of the file, or of the folder's only file, or "" if it does not exist."""
    path = path / "deep" / "a" if path.is_dir() else path
    return path.read_text() if path.exists() else ""


def test_a_file_is_written_as_it_is_given(tmp_path):
    with atomic_file(tmp_path / "a", errors="surrogateescape") as file:
        file.write("é\r\n\udcff\n")
    assert (tmp_path / "a").read_bytes() == "é\r\n".encode() + b"\xff\n"
    with atomic_file(tmp_path / "a", "wb") as file:
        file.write(b"bytes")
    assert (tmp_path / "a").read_bytes() == b"bytes"


def fails(do, path: Path, error: type[BaseException]) -> bool:
    try:
        do(path)
    except error:
        return True
    return False


@pytest.mark.parametrize(("code", "how"), FAULTS)
@pytest.mark.parametrize("do", [new_file, new_folder])
def test_after_a_failure_at_any_call_the_old_or_the_new_content_remains(tmp_path, do, code, how):
    seen = []
    for at in itertools.count(1):
        path = tmp_path / str(at) / "a"
        path.parent.mkdir()
        old = "old" if do is new_file else ""
        if old:
            path.write_text(old)
        with failing_os(at, code, how) as failed:
            assert fails(do, path, OSError) == bool(failed)
        seen.append(content(path))
        if how == "once":
            assert [p.name for p in path.parent.iterdir()] == (["a"] if seen[-1] else [])
        if not failed:
            break
    assert seen[-1] == "new"
    assert set(seen) == {old, "new"}


@pytest.mark.parametrize("do", [new_file, new_folder])
def test_a_kill_at_any_call_leaves_the_old_content_or_the_new(tmp_path, do):
    old = "old" if do is new_file else ""
    seen = []
    for at in itertools.count(1):
        path = tmp_path / str(at) / "a"
        path.parent.mkdir()
        if old:
            path.write_text(old)
        child = os.fork()
        if child == 0:
            with watched_os(
                lambda n, _name, _args, call, at=at: (
                    os.kill(os.getpid(), signal.SIGKILL) if n == at else call()
                )
            ):
                do(path)
            os._exit(0)
        status = os.waitpid(child, 0)[1]
        seen.append(content(path))
        do(path) if do is new_file or not seen[-1] else None
        assert content(path) == "new"
        if status == 0:
            break
    assert seen == sorted(seen, key=["old", "", "new"].index)
    assert set(seen) == {old, "new"}


@pytest.mark.parametrize("do", [new_file, new_folder])
def test_the_content_is_on_the_disk_before_the_name(tmp_path, do):
    paths, events = {}, []

    def act(_number, name, args, call):
        result = call()
        if name == "open":
            paths[result] = Path(args[0]).name
        elif name == "fsync":
            events.append(paths.get(args[0], "a file"))
        elif name in ("rename", "replace"):
            events.append("rename")
        return result

    with watched_os(act):
        do(tmp_path / "a")
    temporary = f".a.{os.getpid()}.jdcv-tmp"
    before = ["a file"] if do is new_file else [temporary, "a", "deep"]
    assert events == [*before, "rename", tmp_path.name]


@pytest.mark.parametrize("raised", [ValueError, KeyboardInterrupt])
@pytest.mark.parametrize("make", [atomic_file, atomic_folder, scratch_folder])
def test_a_block_that_raises_leaves_nothing(tmp_path, make, raised):
    with pytest.raises(raised), make(tmp_path / "a"):
        raise raised
    assert not [path for path in tmp_path.rglob("*") if path.name != "a"]


def test_a_folder_that_exists_is_left_as_it_is(tmp_path):
    (tmp_path / "a").mkdir()
    with pytest.raises(FileExistsError, match="a"), atomic_folder(tmp_path / "a"):
        pytest.fail("the block runs")

    def overtaken():
        with atomic_folder(tmp_path / "b"):
            (tmp_path / "b").mkdir()
            (tmp_path / "b" / "theirs").touch()

    with pytest.raises(FileExistsError, match="b"):
        overtaken()
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["a", "b", "theirs"]


def test_a_tree_with_links_that_lead_nowhere_is_synced(tmp_path):
    (tmp_path / "broken").symlink_to(tmp_path / "missing")
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "loop").symlink_to(tmp_path)
    sync_tree(tmp_path)


def ended_process():
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    return done.pid


def test_only_leftovers_of_ended_writers_are_removed(tmp_path):
    gone = [f".a.{ended_process()}.jdcv-tmp", f".b.c.{os.getpid()}.jdcv-tmp"]
    kept = [
        f".a.{os.getppid()}.jdcv-tmp", ".a.1.jdcv-tmp", ".a.0.jdcv-tmp", ".a.jdcv-tmp",
        f"a.{ended_process()}.jdcv-tmp", f".a.{ended_process()}.tmp", ".a.99999999999.jdcv-tmp",
        "a", ".a.x.jdcv-tmp",
    ]  # fmt: skip
    for name in gone + kept:
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text("")
    (tmp_path / f".link.{os.getpid()}.jdcv-tmp").symlink_to(tmp_path / "a")
    (tmp_path / f".file.{os.getpid()}.jdcv-tmp").write_text("")
    remove_leftovers(tmp_path)
    assert {p.name for p in tmp_path.iterdir() if not p.name.startswith((".link", ".file"))} == {
        *kept
    }
    assert len([*tmp_path.iterdir()]) == len(kept) + 2
    remove_leftovers(tmp_path / "missing")


def test_a_scratch_folder_is_in_its_parent_and_a_leftover_after_a_kill(tmp_path):
    with scratch_folder(tmp_path / "deep") as one, scratch_folder(tmp_path / "deep") as two:
        assert one.parent == two.parent == tmp_path / "deep"
        remove_leftovers(tmp_path / "deep")
        assert not one.exists()


HOLD = """
import sys, time
from pathlib import Path
from jdcv_core.atomic import lock
with lock(Path(sys.argv[1])) as held:
    print(held, flush=True)
    time.sleep(60)
"""


def test_one_process_has_a_lock_until_it_ends(tmp_path):
    path = tmp_path / "lock"
    other = subprocess.Popen([sys.executable, "-c", HOLD, path], stdout=subprocess.PIPE)
    assert other.stdout.readline() == b"True\n"
    with lock(path) as held:
        assert not held
    other.kill()
    other.communicate()
    with lock(path) as held:
        assert held
        with lock(path) as again:
            assert not again
        child = os.fork()
        if child == 0:
            with lock(path) as inherited:
                os._exit(inherited)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    with lock(path) as held:
        assert held


def test_without_write_permission_there_is_no_lock(tmp_path):
    with lock(tmp_path / "missing" / "lock") as held:
        assert not held
    with pytest.raises(OSError, match="of the block"), lock(tmp_path / "lock"):
        raise OSError("of the block")
