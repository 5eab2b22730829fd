"""A folder is complete or absent, whichever call fails, and a changed byte is reported."""

import errno
import itertools
import json
import os
import re

import pytest
from failing_os import FAULTS, error_of, failing_os, flip, watched_os
from hypothesis import given, settings
from hypothesis import strategies as st
from thorough import examples

import jdcv_core.folders as folders
from jdcv_core.atomic import remove_folder, remove_leftovers
from jdcv_core.errors import InputError
from jdcv_core.folders import (
    MANIFEST,
    json_bytes,
    read_listed,
    read_manifest,
    verify_folder,
    write_folder,
)

FILES = {"weights.bin": bytes(range(256)), "encoder/config.json": b'{"a": 1}', "encoder/empty": b""}
FACTS = {"step": 3, "rate": 0.1, "note": "größer"}


def write(folder, files=FILES, facts=FACTS):
    return write_folder(folder, "model", 2, files, facts)


def verify(folder):
    return verify_folder(folder, "model", 2)


def contents(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*.*")}


def test_what_was_written_is_read(tmp_path):
    folder = write(tmp_path / "new" / "deeper" / "a")
    assert folder == tmp_path / "new" / "deeper" / "a"
    assert verify(folder) == FACTS
    manifest = read_manifest(folder, "model", 2)
    assert {name: read_listed(file) for name, file in manifest.files.items()} == FILES
    assert [p.name for p in folder.parent.iterdir()] == ["a"]
    write(tmp_path / "b", facts={})
    assert verify(tmp_path / "b") == {}
    assert verify(write(tmp_path / "c", files={})) == FACTS


def test_a_write_may_take_less_than_it_is_given(tmp_path, monkeypatch):
    real = os.write
    monkeypatch.setattr(os, "write", lambda handle, data: real(handle, bytes(data[:7])))
    monkeypatch.setattr(folders, "PIECE", 100)
    assert contents(write(tmp_path / "a"))["weights.bin"] == FILES["weights.bin"]
    verify(tmp_path / "a")


def test_a_long_write_and_read_show_progress(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(folders, "BIG", 1)
    verify(write(tmp_path / "a"))
    shown = capsys.readouterr().err
    assert "Writing a, MB" in shown
    assert "Verifying a, MB" in shown


def test_an_unchanged_file_is_linked(tmp_path):
    source = tmp_path / "best.bin"
    source.write_bytes(b"best")
    (tmp_path / "link").symlink_to(source)
    folder = write(tmp_path / "a", {"best.bin": tmp_path / "link", "x/again.bin": source})
    for name in ("best.bin", "x/again.bin"):
        assert (folder / name).stat().st_ino == source.stat().st_ino
        assert not (folder / name).is_symlink()
    verify(folder)


@pytest.mark.parametrize("code", [errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP])
def test_a_file_is_copied_where_links_are_refused(tmp_path, monkeypatch, code):
    source = tmp_path / "best.bin"
    source.write_bytes(bytes(1000))

    def refuse(*_args):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "link", refuse)
    folder = write(tmp_path / "a", {"best.bin": source})
    assert (folder / "best.bin").stat().st_ino != source.stat().st_ino
    assert read_listed(read_manifest(folder, "model", 2).files["best.bin"]) == bytes(1000)


def test_damage_of_a_file_is_detected_after_it_is_linked(tmp_path):
    first = write(tmp_path / "a")
    listed = read_manifest(first, "model", 2).files["weights.bin"]
    flip(first / "weights.bin", 100)
    second = write(tmp_path / "b", {"best.bin": listed})
    with pytest.raises(InputError, match=r"b/best\.bin: it is altered"):
        verify(second)
    (first / "weights.bin").write_bytes(b"short")
    with pytest.raises(InputError, match=r"a/weights\.bin: it is truncated"):
        write(tmp_path / "c", {"best.bin": listed})
    assert not (tmp_path / "c").exists()


def test_a_folder_that_exists_is_left_as_it_is(tmp_path):
    before = contents(write(tmp_path / "a"))
    with pytest.raises(InputError, match=r"/a: it exists already. Give another name"):
        write(tmp_path / "a", {"other": b""})
    assert contents(tmp_path / "a") == before
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match="exists already"):
        write(tmp_path / "file")
    assert {p.name for p in tmp_path.iterdir()} == {"a", "file"}


def test_of_two_processes_the_folder_of_the_faster_is_kept(tmp_path):
    def act(_number, name, args, do):
        if name == "rename":
            other = tmp_path / "a"
            other.mkdir()
            (other / "theirs").write_text("x")
        return do()

    with watched_os(act), pytest.raises(InputError, match="exists already"):
        write(tmp_path / "a")
    assert [p.name for p in tmp_path.rglob("*")] == ["a", "theirs"]


@pytest.mark.parametrize("name", ["../x", "/x", "a/../../x", ".", "", "a//b", "a\\b", MANIFEST])
def test_a_name_that_leads_out_is_refused(tmp_path, name):
    with pytest.raises(ValueError, match="no name for a file inside"):
        write(tmp_path / "a", {name: b""})
    folder = write(tmp_path / "a", {})
    (tmp_path / "x").write_bytes(b"")
    fields = json.loads((folder / MANIFEST).read_bytes())
    fields.pop("sha256")
    fields["files"] = {name: {"size": 0, "sha256": ""}}
    (folder / MANIFEST).write_bytes(folders._manifest_bytes(fields))
    with pytest.raises(InputError, match=r"a/manifest\.json: it lists .* no file inside"):
        verify(folder)


@pytest.mark.parametrize(("code", "how"), FAULTS)
def test_after_a_failure_at_any_call_the_folder_is_complete_or_absent(tmp_path, code, how):
    (tmp_path / "best.bin").write_bytes(b"best")
    files = {"x/a.bin": b"123", "best.bin": tmp_path / "best.bin"}
    message = rf": it cannot be written \({os.strerror(code)}\). Free space .* is whole\.$"
    seen = set()
    for at in itertools.count(1):
        folder = tmp_path / str(at) / "a"
        with failing_os(at, code, how) as failed:
            report = error_of(lambda to=folder: write(to, files))
        assert re.search(message, report) if failed else not report
        seen |= {*failed[:1]}
        if how == "once":
            assert {p.name for p in tmp_path.rglob("*.jdcv-tmp")} == set()
        if folder.exists():
            assert verify(folder) == FACTS
        else:
            write(folder, files)  # also next to the files of the failed attempt
            assert [*folder.parent.iterdir()] == [folder]
        assert (tmp_path / "best.bin").read_bytes() == b"best"
        if not failed:
            break
    assert seen == {"open", "write", "fsync", "close", "rename", "mkdir", "link"}


def test_all_files_are_on_the_disk_before_the_name(tmp_path):
    """In a power cut, data that was not fsynced before the rename may be lost."""
    paths, dirty, events = {}, set(), []

    def act(_number, name, args, do):
        result = do()
        if name == "open":
            paths[result] = str(args[0])
        elif name in ("mkdir", "link"):
            path = os.fspath(args[-1] if name == "link" else args[0])
            dirty.update({os.path.dirname(path)} | ({path} if name == "mkdir" else set()))
        elif name == "write":
            dirty.update({paths[args[0]], os.path.dirname(paths[args[0]])})
        elif name == "fsync":
            dirty.discard(paths[args[0]])
            events.append(("fsync", paths[args[0]]))
        elif name == "rename":
            events.append(("rename", str(args[1]), {*dirty}))
        return result

    (tmp_path / "best.bin").write_bytes(b"best")
    with watched_os(act):
        write(tmp_path / "a" / "b", FILES | {"deep/er/best.bin": tmp_path / "best.bin"})
    at = next(i for i, event in enumerate(events) if event[0] == "rename")
    # Only the folder that holds the temporary name may be synced later.
    assert events[at] == ("rename", str(tmp_path / "a" / "b"), {str(tmp_path / "a")})
    assert events[at + 1 :] == [("fsync", str(tmp_path / "a"))]
    assert any(event[1].endswith("deep/er/best.bin") for event in events[:at])
    assert events[at - 1][0] == "fsync"
    files = {os.path.basename(event[1]) for event in events[:at]}
    assert files >= {"weights.bin", "config.json", "empty", "best.bin", MANIFEST}


def test_a_file_system_that_cannot_sync_folders_is_accepted(tmp_path):
    def act(_number, name, args, do):
        if name == "fsync" and os.path.isdir(f"/proc/self/fd/{args[0]}"):
            raise OSError(errno.EINVAL, "Invalid argument")
        return do()

    with watched_os(act):
        verify(write(tmp_path / "a"))


@pytest.mark.parametrize("name", ["weights.bin", "encoder/config.json", MANIFEST])
def test_each_damage_names_its_file(tmp_path, name):
    folder = write(tmp_path / "a")
    path, whole = folder / name, (folder / name).read_bytes()
    named = f"a/{name}: it ".replace(".", r"\.")
    for at in range(0, len(whole), 3):
        flip(path, at)
        with pytest.raises(InputError, match=rf"a/{name}: (it|this) "):
            verify(folder)
        path.write_bytes(whole)
    for damaged in (whole[:-1], whole[: len(whole) // 2], b""):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match=named + r"(is truncated|cannot be read|is altered)"):
            verify(folder)
    path.write_bytes(whole + b" ")
    with pytest.raises(InputError, match=named + "is altered"):
        verify(folder)
    path.unlink()
    with pytest.raises(InputError, match=named + "is missing. Put a whole copy"):
        verify(folder)
    path.write_bytes(whole)
    assert verify(folder) == FACTS


def test_a_link_in_place_of_a_file_is_refused(tmp_path):
    folder = write(tmp_path / "a")
    (folder / "weights.bin").rename(tmp_path / "elsewhere")
    (folder / "weights.bin").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match=r"a/weights\.bin: it is altered: it is no plain file"):
        verify(folder)


@pytest.mark.parametrize("name", ["added.txt", "encoder/added.txt", ".hidden"])
def test_a_file_that_is_not_listed_is_named(tmp_path, name):
    folder = write(tmp_path / "a")
    (folder / name).write_text("")
    with pytest.raises(InputError, match=rf"a/{name}: manifest\.json does not list it"):
        verify(folder)


def test_a_file_is_compared_again_when_it_is_read(tmp_path):
    folder = write(tmp_path / "a")
    listed = read_manifest(folder, "model", 2).files["weights.bin"]
    flip(folder / "weights.bin", 0)
    with pytest.raises(InputError, match=r"weights\.bin: it is altered"):
        read_listed(listed)
    (folder / "weights.bin").unlink()
    with pytest.raises(InputError, match=r"weights\.bin: it is missing"):
        read_listed(listed)


def test_another_kind_or_format_is_refused_and_says_what_to_do(tmp_path):
    folder = write(tmp_path / "a")
    with pytest.raises(InputError, match="this is a model, not a checkpoint"):
        verify_folder(folder, "checkpoint", 2)
    with pytest.raises(InputError, match="it has format 2, this version reads 1. Update"):
        verify_folder(folder, "model", 1)
    with pytest.raises(InputError, match="it has format 2, this version reads 3. .*older toolkit"):
        verify_folder(folder, "model", 3)
    with pytest.raises(InputError, match="there is no such folder"):
        verify(tmp_path / "b")


def test_a_leftover_with_our_process_id_does_not_prevent_writing(tmp_path):
    stale = tmp_path / f".a.{os.getpid()}.jdcv-tmp"
    for use in (write, remove_folder):
        stale.mkdir()
        (stale / "old").write_text("")
        use(tmp_path / "a")
        assert not stale.exists()
    assert not [*tmp_path.iterdir()]


def test_a_folder_loses_its_name_before_its_files(tmp_path):
    write(tmp_path / "a")

    def act(_number, name, args, do):
        if name in ("unlink", "rmdir"):
            assert not (tmp_path / "a").exists()
            renamed.append(events[-1] if not renamed else "")
        events.append(name)
        return do()

    events, renamed = [], []
    with watched_os(act):
        remove_folder(tmp_path / "a")
    assert events[:4] == ["rename", "open", "fsync", "close"]
    assert not [*tmp_path.iterdir()]
    with pytest.raises(InputError, match=r"/a: it cannot be removed \(No such file"):
        remove_folder(tmp_path / "a")


def test_processes_write_into_one_parent_at_once(tmp_path):
    children = []
    for child in range(3):
        pid = os.fork()
        if pid == 0:
            try:
                for n in range(10):
                    write(tmp_path / f"{child}-{n}", facts={"who": [child, n]})
                    remove_leftovers(tmp_path)  # removes nothing of the other processes
                    if n % 2:
                        remove_folder(tmp_path / f"{child}-{n}")
            except BaseException:
                os._exit(1)
            os._exit(0)
        children.append(pid)
    assert [os.waitpid(pid, 0)[1] for pid in children] == [0, 0, 0]
    assert len([*tmp_path.iterdir()]) == 15
    for child, n in itertools.product(range(3), range(0, 10, 2)):
        assert verify(tmp_path / f"{child}-{n}") == {"who": [child, n]}


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)  # fmt: skip


@settings(max_examples=examples(13))
@given(PLAIN)
def test_plain_values_come_back_exactly(value):
    assert json.loads(json_bytes(value)) == value
    assert repr(json.loads(json_bytes(value))) == repr(value)


def test_values_that_json_cannot_hold_are_reported_with_their_position(tmp_path):
    assert json.loads(json_bytes({"a": (float("nan"), 2**200)})) == {"a": [None, 2**200]}
    with pytest.raises(ValueError, match=r"\.a\[1\]: JSON has no form for inf"):
        json_bytes({"a": [0, float("inf")]})
    with pytest.raises(TypeError, match=r"\.a: set is not a plain value"):
        json_bytes({"a": set()})
    with pytest.raises(TypeError, match=r"\.a: keys must be texts, got 1"):
        json_bytes({"a": {1: 2}})
    with pytest.raises(TypeError):
        write(tmp_path / "a", facts={"x": object()})
    assert not [*tmp_path.iterdir()]
