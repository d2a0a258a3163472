"""Files that hold work: complete under their name or not there, whatever ends the process.

A file is written beside its target under a name of its own, which ends in `.part`, brought to the disk, and renamed.
"""

import errno
import fcntl
import os
import re
import secrets
import shutil
import stat
from contextlib import contextmanager, suppress
from pathlib import Path

KINDS = {
    stat.S_ISDIR: "a folder", stat.S_ISCHR: "a device", stat.S_ISBLK: "a device", stat.S_ISFIFO: "a pipe",
    stat.S_ISSOCK: "a socket",
}  # fmt: skip
LONGEST = 200  # bytes of a name that a .part's begins with: with all of a long one it would be too long
UNSYNCED = (errno.EINVAL, errno.ENOTSUP, errno.EACCES)  # of folders that cannot be synced, or not be read


@contextmanager
def replacing(path):
    """A binary file to write to that takes the place of `path` once it is complete and on the disk.

    A symbolic link stays one: what it points to is replaced, or made. The mode of a file that is replaced is kept. What
    processes that died have left beside it (see `remove_stale`) goes. Where anything is raised, `path` stays as it was.

    Raises ValueError where `path` is a folder, a device, a pipe or a socket, FileNotFoundError where its folder is not
    there, PermissionError where it may not be written, and OSError.
    """
    target, mode = find_target(path)
    remove_stale(target)
    part, descriptor = _create(target, mode)
    try:
        with open(descriptor, "wb") as file:  # locked until it has its name
            yield file
            file.flush()
            if mode is not None:
                with suppress(PermissionError):  # of file systems that have no modes
                    os.fchmod(descriptor, mode)
            os.fsync(descriptor)
            os.replace(part, target)
    except BaseException as error:
        with suppress(FileNotFoundError):
            part.unlink()
        if isinstance(error, OSError) and error.errno and error.filename is None:
            error.filename = str(path)
        raise
    _sync_folder(target.parent)


def check_target(path, n_bytes: int = 0) -> None:
    """Raises as `replacing` would, and OSError where the disk has no room for n_bytes."""
    target, mode = find_target(path)
    remove_stale(target)
    part, descriptor = _create(target, mode)
    os.close(descriptor)
    part.unlink()
    disk = shutil.disk_usage(target.parent)
    if disk.free < n_bytes and disk.total:
        raise OSError(
            f"{path}: found {disk.free:,} bytes free in {target.parent}, expected at least {n_bytes:,}, its size"
        )


def find_target(path) -> tuple[Path, int | None]:
    """(the file behind symbolic links, its mode or None where there is none yet); raises as `replacing` does."""
    if os.fsdecode(path) == "" or "\0" in os.fsdecode(path):
        raise ValueError(f"path: found {path!r}, expected the name of a file")
    target = Path(os.path.realpath(path))
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        if not target.parent.is_dir():
            raise FileNotFoundError(f"{path}: found no folder {target.parent}, expected one to write to") from None
        return target, None
    kind = next((name for matches, name in KINDS.items() if matches(mode)), None)
    if kind is None and not target.is_file():  # an open file of /dev/fd that has no name any more
        kind = "a file without a name"
    if kind:
        raise ValueError(f"{path}: found {kind}, expected a file to replace or a new name")
    if not os.access(target, os.W_OK):
        raise PermissionError(f"{path}: found a file that may not be written, expected one that may be replaced")
    return target, stat.S_IMODE(mode)


def remove_stale(target: Path) -> None:
    """Removes what processes that died while they wrote `target` have left: such a file has nobody's lock."""
    pattern = re.compile(re.escape(_prefix(target)) + r"[0-9a-f]{16}\.part")
    with suppress(OSError):  # of a folder that may not be listed
        names = [name for name in os.listdir(target.parent) if pattern.fullmatch(name)]
        for part in map(target.parent.joinpath, names):
            with suppress(OSError):
                descriptor = os.open(part, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    part.unlink()
                finally:
                    os.close(descriptor)


def _prefix(target):
    return f".{os.fsdecode(os.fsencode(target.name)[:LONGEST])}."


def _create(target, mode):
    """(path, descriptor) of a new file beside `target`, locked where the file system has locks."""
    while True:
        part = target.with_name(f"{_prefix(target)}{secrets.token_hex(8)}.part")
        allowed = 0o666 if mode is None else 0o600  # what was private stays so while it is written
        try:
            descriptor = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, allowed)
        except OSError as error:
            raise OSError(error.errno, f"{error.strerror}, beside it", str(target)) from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            taken = os.fstat(descriptor).st_nlink == 0
        except BlockingIOError:
            taken = True
        except OSError:
            taken = False
        if not taken:
            return part, descriptor
        os.close(descriptor)  # somebody took it for a stale one before it was locked


def _sync_folder(folder):
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY) if os.access(folder, os.R_OK) else None
    if descriptor is None:
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in UNSYNCED:
            raise
    finally:
        os.close(descriptor)
