"""Arrays in an .npz file that anyone may have made: what it holds is known, and bounded by its size, before it is read.

A file that slide writes has its arrays stored as they are. So an array can be no larger than the file, its name, dtype
and shape stand in its header, and what is compressed, encrypted, there twice or made of Python objects is refused.
"""

import copy
import math
import zipfile
from dataclasses import dataclass

import numpy as np
from numpy.lib import format as npy

SUFFIX = ".npy"
ENCRYPTED = 1  # the bit of a zip entry's flags


@dataclass(frozen=True)
class Entry:
    """Where an array is, and what it is by its header."""

    info: zipfile.ZipInfo
    dtype: np.dtype
    shape: tuple[int, ...]


class Archive:
    """The arrays of an open binary file by name, each read when it is asked for; also a context.

    Raises ValueError, or whatever zipfile and NumPy raise, where the file is no archive of stored arrays.
    """

    def __init__(self, file):
        self.size = file.seek(0, 2)
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
            shape, _, dtype = read(file)
            n_bytes = info.file_size - file.tell()
        if dtype.hasobject or dtype.names or any(n < 0 for n in shape):
            raise ValueError(f"the array {name!r} of {dtype} {shape}")
        if math.prod(shape) * dtype.itemsize != n_bytes:
            raise ValueError(f"the array {name!r} of {dtype} {shape} in {n_bytes} bytes")
        return Entry(info, dtype, shape)

    def __getitem__(self, name: str) -> np.ndarray:
        """An array; KeyError where there is none."""
        with self._zip.open(self.entries[name].info) as file:
            return npy.read_array(file, allow_pickle=False)

    def keys(self):
        return self.entries.keys()

    def part(self, prefix: str) -> "Archive":
        """Of the same file the arrays whose names begin so, by the rest of their names."""
        found = copy.copy(self)
        found.entries = {name.removeprefix(prefix): entry for name, entry in self.entries.items()
                         if name.startswith(prefix)}  # fmt: skip
        return found
