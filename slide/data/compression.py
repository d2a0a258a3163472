"""Compressed files: told by their first bytes when they are read, by the end of their name when they are written."""

import bz2
import gzip
import importlib
import lzma
import os
import re
import zlib
from pathlib import Path

CHUNK = 1 << 16  # compressed bytes read at a time


class Damaged(ValueError):
    """Compressed data that is cut short or corrupt."""


class Gzip:
    suffix, magic = ".gz", re.compile(rb"\x1f\x8b")

    def open(self, raw):
        return gzip.GzipFile(fileobj=raw), (gzip.BadGzipFile, zlib.error)

    def create(self, raw):
        return gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=raw, mtime=0)


class Xz:
    suffix, magic = ".xz", re.compile(rb"\xfd7zXZ\0")

    def open(self, raw):
        return Streams(raw, lzma.LZMADecompressor), (lzma.LZMAError,)

    def create(self, raw):
        return lzma.LZMAFile(raw, "wb", preset=3)


class Bzip2:
    suffix, magic = ".bz2", re.compile(rb"BZh[1-9](1AY&SY|\x17rE8P\x90)")

    def open(self, raw):
        return Streams(raw, bz2.BZ2Decompressor), ()

    def create(self, raw):
        return bz2.BZ2File(raw, "wb")


class Zstandard:
    """By Python's own module from 3.14 on and its backport before: `zstandard` reads half a file without an error."""

    suffix, magic = ".zst", re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18")

    def open(self, raw):
        zstd = self.module()
        return Streams(raw, zstd.ZstdDecompressor), (zstd.ZstdError,)

    def create(self, raw):
        zstd = self.module()
        return zstd.ZstdFile(raw, "wb", options={zstd.CompressionParameter.checksum_flag: 1})

    @staticmethod
    def module():
        for name in ("compression.zstd", "backports.zstd"):
            try:
                return importlib.import_module(name)
            except ImportError:
                continue
        raise ValueError("found Zstandard compression, expected a package for it: pip install backports.zstd")


PACKINGS = Gzip(), Xz(), Bzip2(), Zstandard()
SUFFIXES = tuple(packing.suffix for packing in PACKINGS)


def without_suffix(path):
    """(the path without the end that says how it is compressed, the packing or None), in upper or lower case."""
    path = Path(path)
    packing = next((packing for packing in PACKINGS if packing.suffix == path.suffix.lower()), None)
    return (path.with_suffix("") if packing else path), packing


class Streams:
    """Compressed streams one behind another, zero bytes in between (Python's files end silently at a broken second)."""

    def __init__(self, raw, new):
        self.raw, self.new = raw, new
        self.stream = new()

    def read(self, size: int) -> bytes:
        pieces = []
        while size > 0:
            if self.stream.eof:
                data = self._next()
                if not data:
                    break
                self.stream = self.new()
            else:
                data = self.raw.read(CHUNK) if self.stream.needs_input else b""
                if self.stream.needs_input and not data:
                    raise EOFError("it ends before its end-of-stream marker")
            pieces.append(self.stream.decompress(data, size))
            size -= len(pieces[-1])
        return b"".join(pieces)

    def _next(self):
        """What stands behind a stream and its padding."""
        data = self.stream.unused_data.lstrip(b"\0")
        while not data and (more := self.raw.read(CHUNK)):
            data = more.lstrip(b"\0")
        return data

    def close(self):
        pass


class Reading:
    """A file that reads as it would without compression.

    start: its first bytes as they are in the file. packing: its compression, None where it has none.
    """

    def __init__(self, path):
        name = os.fspath(path)  # not a number, which would be a file that somebody else has open
        if "\0" in os.fsdecode(name):
            raise ValueError(f"path: found {path!r}, expected the name of a file")
        self.raw = open(name, "rb")
        try:
            self.start = self.raw.peek(16)[:16]
            self.packing = next((packing for packing in PACKINGS if packing.magic.match(self.start)), None)
            self.file, errors = self.packing.open(self.raw) if self.packing else (self.raw, ())
        except BaseException as error:
            self.raw.close()
            if isinstance(error, ValueError):
                raise ValueError(f"{path}: {error}") from None
            raise
        self.errors = (EOFError, *errors)

    def read(self, size: int) -> bytes:
        """Up to `size` bytes, none at the end. Raises Damaged where the compression is broken."""
        try:
            return self.file.read(size)
        except self.errors as error:
            raise Damaged(str(error)) from error
        except OSError as error:
            if error.errno is not None:  # the system's own, not bz2's
                raise
            raise Damaged(str(error)) from error

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()
        self.raw.close()
