"""Files that hold work are whole or not there, and nothing else is left beside them."""

import os
import resource
import signal
import stat
import subprocess
import sys
from contextlib import contextmanager

import numpy as np
import pytest

from slide.data import save_xmc
from slide.network import Network
from slide.state import files
from slide.state.files import check_target, replacing
from tests.networks import assert_same, make, separable

WRITERS = {
    "a model": lambda path: make("uniform", 1).save(path),
    "samples": lambda path: save_xmc(path, np.eye(2), np.eye(2)),
    "bytes": lambda path: write(path, b"new"),
}


def write(path, content):
    with replacing(path) as file:
        file.write(content)


@contextmanager
def limited(n_bytes):
    """No file can become larger than that: writing more fails as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("writer", WRITERS)
def test_links_stay_and_modes_are_kept(writer, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    target, link, dangling = tmp_path / "elsewhere" / "file", tmp_path / "link", tmp_path / "dangling"
    target.write_bytes(b"old")
    target.chmod(0o640)
    link.symlink_to(target)
    dangling.symlink_to(tmp_path / "elsewhere" / "new")
    for path in (link, dangling):
        WRITERS[writer](path)
        assert path.is_symlink()
    assert stat.S_IMODE(target.stat().st_mode) == 0o640 and target.read_bytes() != b"old"
    assert sorted(os.listdir(tmp_path / "elsewhere")) == ["file", "new"]
    assert len(os.listdir(tmp_path)) == 3


@pytest.mark.parametrize("writer", [*WRITERS, "a check"])
def test_what_is_no_file_is_refused_by_name(writer, tmp_path):
    do = WRITERS.get(writer, check_target)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for name, kind in {"pipe": "pipe", "folder": "folder", "/dev/null": "device"}.items():
        with pytest.raises(ValueError, match=f"{tmp_path / name}: found a {kind}, expected a file to replace"):
            do(tmp_path / name)
    with pytest.raises(FileNotFoundError, match="none/file: found no folder .*none, expected one to write to"):
        do(tmp_path / "none" / "file")
    assert sorted(os.listdir(tmp_path)) == ["folder", "pipe"] and not os.listdir(tmp_path / "folder")


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("old", [None, b"old"])
def test_a_full_disk_leaves_the_old_file_alone(writer, old, tmp_path):
    path = tmp_path / "file"
    if old:
        path.write_bytes(old)
    with limited(2), pytest.raises(OSError, match="file"):
        WRITERS[writer](path)
    assert os.listdir(tmp_path) == ["file"][: old is not None]
    assert not old or path.read_bytes() == old


def test_nothing_is_left_where_writing_is_interrupted(tmp_path):
    for error in (KeyboardInterrupt, MemoryError):
        with pytest.raises(error):
            with replacing(tmp_path / "file") as file:
                file.write(b"half")
                raise error
    assert not os.listdir(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_what_may_not_be_written_is_left_alone(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    path.chmod(0o400)
    with pytest.raises(PermissionError, match="file: found a file that may not be written"):
        write(path, b"new")
    path.chmod(0o600)
    tmp_path.chmod(0o500)
    with pytest.raises(PermissionError, match="file"):
        check_target(path)
    tmp_path.chmod(0o700)


def test_a_long_name_is_no_longer_while_it_is_written(tmp_path):
    write(tmp_path / ("é" * 127), b"new")
    assert os.listdir(tmp_path) == ["é" * 127]


DIES = """
import os, signal, sys
from slide.state.files import replacing
with replacing(sys.argv[1]) as file:
    file.write(b"half")
    file.flush()
    print("written", flush=True)
    if sys.argv[2] == "dies":
        os.kill(os.getpid(), signal.SIGKILL)
    sys.stdin.read()
"""


def writing(path, what):
    process = subprocess.Popen([sys.executable, "-c", DIES, path, what], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"written\n"
    return process


def test_parts_of_dead_processes_go_and_those_of_live_ones_stay(tmp_path):
    path, other = tmp_path / "file", tmp_path / "file2"
    others = {".file.part", ".file.0123456789abcdef.part.gz", "file.0123456789abcdef.part"}
    for name in others:
        (tmp_path / name).write_bytes(b"somebody's")
    dead, alive = writing(path, "dies"), writing(path, "waits")
    assert dead.wait() == -signal.SIGKILL
    writing(other, "dies").wait()
    assert len(os.listdir(tmp_path)) == len(others) + 3 - 1  # the second process removed what the first had left
    write(path, b"new")
    left = {name for name in os.listdir(tmp_path) if name not in others} - {"file"}
    assert len(left) == 2 and sorted(name[:6] for name in left) == [".file.", ".file2"]
    alive.communicate()
    assert alive.returncode == 0 and path.read_bytes() == b"half"
    check_target(other)
    assert set(os.listdir(tmp_path)) == others | {"file"}


def test_a_part_that_somebody_removed_before_it_was_locked_is_made_anew(tmp_path, monkeypatch):
    flock, calls = files.fcntl.flock, []

    def late(descriptor, how):
        calls.append(descriptor)
        if len(calls) == 1:
            files.remove_stale(tmp_path / "file")  # calls flock, too
        return flock(descriptor, how)

    monkeypatch.setattr(files.fcntl, "flock", late)
    write(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"new" and len(os.listdir(tmp_path)) == 1 and len(calls) == 3


def test_file_and_folder_are_brought_to_the_disk(tmp_path, monkeypatch):
    order, fsync, replace = [], os.fsync, os.replace

    def synced(descriptor):
        order.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        fsync(descriptor)

    def renamed(*paths):
        order.append("rename")
        replace(*paths)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", renamed)
    write(tmp_path / "file", b"new")
    assert order == ["file", "rename", "folder"]


def test_room_is_looked_for(tmp_path):
    check_target(tmp_path / "file", 1000)
    with pytest.raises(OSError, match=r"file: found [\d,]+ bytes free in .*, expected at least 1,000,000,"):
        check_target(tmp_path / "file", 10**18)
    assert not os.listdir(tmp_path)


def test_a_model_that_replaces_itself_goes_on(tmp_path):
    X, Y = separable()
    network = make("hidden sampled", 1).fit(X, Y, steps=3)
    for _ in range(2):
        network.save(tmp_path / "model")
        network = Network.load(tmp_path / "model")
    assert_same(network.fit(X, Y, steps=3), make("hidden sampled", 1).fit(X, Y, steps=6))
