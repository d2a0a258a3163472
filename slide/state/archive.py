"""Arrays in an .npz file that anyone may have made: what it holds is known, and bounded by its size, before it is read.

A file that slide writes has its arrays stored as they are. So an array can be no larger than the file, its name, dtype
and shape stand in its header, and what is compressed, encrypted, there twice or made of Python objects is refused.
"""

import copy
import math
import struct
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.lib import format as npy

SUFFIX = ".npy"
LOCAL_HEADER = 30  # bytes before an entry's name; the last four are the lengths of that and of what follows it
ALIGNED = 64  # where the values of arrays begin: at multiples of so many bytes
PADDING = 0xD935  # the kind of an extra field that only fills up
ZIP64 = 20  # bytes of the extra field that zipfile adds
ENCRYPTED = 1  # the bit of a zip entry's flags


@dataclass(frozen=True)
class Entry:
    """Where an array is, and what it is by its header."""

    info: zipfile.ZipInfo
    dtype: np.dtype
    shape: tuple[int, ...]
    start: int  # of its values, in bytes from that of its .npy file
    c_order: bool


@dataclass(frozen=True)
class Streamed:
    """In place of an array that is to be written: blocks() yields its values, in C order, a block after the other."""

    dtype: np.dtype
    shape: tuple[int, ...]
    blocks: Callable[[], Iterator[np.ndarray]]

    def write(self, file) -> None:
        header = {"descr": npy.dtype_to_descr(np.dtype(self.dtype)), "fortran_order": False, "shape": tuple(self.shape)}
        npy.write_array_header_1_0(file, header)
        for block in self.blocks():
            file.write(np.ascontiguousarray(block).data.cast("B"))


class Archive:
    """The arrays of an open binary file by name, each read when it is asked for; also a context.

    Raises ValueError, or whatever zipfile and NumPy raise, where the file is no archive of stored arrays.
    """

    def __init__(self, file):
        self.size, self._file = file.seek(0, 2), file
        self._zip = zipfile.ZipFile(file)
        infos = self._zip.infolist()
        if sum(info.compress_size for info in infos) > self.size:
            raise ValueError(f"entries of more bytes than the file's {self.size}")
        self.entries: dict[str, Entry] = {}
        for info in infos:
            name = info.filename.removesuffix(SUFFIX)
            if name in self.entries:
                raise ValueError(f"the array {name!r} twice")
            self.entries[name] = self._entry(name, info)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._zip.close()

    def __contains__(self, name: str) -> bool:
        return name in self.entries

    def __iter__(self):
        return iter(self.entries)

    def _entry(self, name, info):
        stored = info.compress_type == zipfile.ZIP_STORED and info.compress_size == info.file_size
        if not info.filename.endswith(SUFFIX) or not stored or info.flag_bits & ENCRYPTED:
            raise ValueError(f"the entry {info.filename!r}, which is no {SUFFIX} file stored as it is")
        with self._zip.open(info) as file:
            version = npy.read_magic(file)
            if version not in ((1, 0), (2, 0)):
                raise ValueError(f"the array {name!r} in format {version}")
            read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
            shape, fortran, dtype = read(file)
            start = file.tell()
            n_bytes = info.file_size - start
        if dtype.hasobject or dtype.names or any(n < 0 for n in shape):
            raise ValueError(f"the array {name!r} of {dtype} {shape}")
        if math.prod(shape) * dtype.itemsize != n_bytes:
            raise ValueError(f"the array {name!r} of {dtype} {shape} in {n_bytes} bytes")
        return Entry(info, dtype, shape, start, not fortran)

    def __getitem__(self, name: str) -> np.ndarray:
        """An array; KeyError where there is none."""
        with self._zip.open(self.entries[name].info) as file:
            return npy.read_array(file, allow_pickle=False)

    def mapped(self, name: str) -> np.ndarray:
        """An array whose pages are those of the file, read when they are needed and shared by processes; what is
        written to it stays in this process. One that cannot be mapped, empty or not aligned, is read."""
        entry = self.entries[name]
        self._file.seek(entry.info.header_offset)
        header = self._file.read(LOCAL_HEADER)
        start = entry.info.header_offset + LOCAL_HEADER + sum(struct.unpack("<HH", header[-4:])) + entry.start
        n_bytes = math.prod(entry.shape) * entry.dtype.itemsize
        if not n_bytes or start % entry.dtype.alignment or not entry.c_order or start + n_bytes > self.size:
            return self[name]
        return np.asarray(np.memmap(self._file, entry.dtype, "c", start, entry.shape))

    def keys(self):
        return self.entries.keys()

    def part(self, prefix: str) -> "Archive":
        """Of the same file the arrays whose names begin so, by the rest of their names."""
        found = copy.copy(self)
        found.entries = {name.removeprefix(prefix): entry for name, entry in self.entries.items()
                         if name.startswith(prefix)}  # fmt: skip
        return found


def write(file, **arrays) -> None:
    """An archive of arrays by name, of which some may be Streamed, as np.savez writes it, but that their values are
    aligned, so as to be mapped."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            info = zipfile.ZipInfo(name + SUFFIX)
            start = file.tell() + LOCAL_HEADER + len(info.filename.encode()) + ZIP64 + 4
            info.extra = struct.pack("<HH", PADDING, -start % ALIGNED) + bytes(-start % ALIGNED)
            with archive.open(info, "w", force_zip64=True) as entry:
                if isinstance(array, Streamed):
                    array.write(entry)
                else:
                    npy.write_array(entry, np.asanyarray(array), allow_pickle=False)
