"""Compressed files: told by content, whole or refused; what is written takes its place complete or not at all."""

import bz2
import gzip
import importlib.util
import lzma
import os
import random
import stat

import numpy as np
import pytest

from slide.data import compression, load_xmc, save_xmc

TEXT = "".join(["2000 2000 4\n"] + [f"{i % 4} {i}:{i}.25\n" for i in range(2000)]).encode()
PACK = {".gz": gzip.compress, ".xz": lzma.compress, ".bz2": bz2.compress}
if importlib.util.find_spec("backports") or importlib.util.find_spec("compression"):
    PACK[".zst"] = compression.Zstandard.module().compress
ALL = [
    pytest.param(suffix, marks=() if suffix in PACK else pytest.mark.skip("no package for Zstandard"))
    for suffix in compression.SUFFIXES
]


def write(folder, data, name):
    (folder / name).write_bytes(data)
    return folder / name


def is_whole(X, Y):
    return X.shape == (2000, 2000) and X.nnz == 2000 and X[1999, 1999] == 1999.25 and Y.nnz == 2000


@pytest.mark.parametrize("suffix", ALL)
@pytest.mark.parametrize("name", ["set.txt", "set", "set.TXT{}", "set.txt.gz"])
def test_the_content_tells(tmp_path, suffix, name):
    name = name.format(suffix.upper())
    assert is_whole(*load_xmc(write(tmp_path, PACK[suffix](TEXT), name)))
    assert is_whole(*load_xmc(write(tmp_path, TEXT, name)))


@pytest.mark.parametrize("suffix", ALL)
def test_streams_one_behind_another_are_one_file(tmp_path, suffix):
    pack = PACK[suffix]
    parts = [pack(TEXT[:100]), pack(b""), pack(TEXT[100:9000]), pack(TEXT[9000:])]
    assert is_whole(*load_xmc(write(tmp_path, b"".join(parts), "set.txt")))
    if suffix != ".zst":  # padding
        assert is_whole(*load_xmc(write(tmp_path, b"".join(parts) + bytes(8), "set.txt")))


@pytest.mark.parametrize("suffix", ALL)
def test_the_name_says_how_to_write(tmp_path, suffix):
    X, Y = np.eye(3, 5), np.eye(3, 4)
    path = tmp_path / f"set.txt{suffix.upper()}"
    save_xmc(path, X, Y)
    assert compression.Reading(path).packing.suffix == suffix
    assert (load_xmc(path)[0] != X).sum() == 0
    before = path.read_bytes()
    save_xmc(path, X, Y)
    assert path.read_bytes() == before


def is_refused(path):
    with pytest.raises(ValueError, match=", expected ") as caught:
        load_xmc(path)
    assert str(caught.value).startswith(f"{path}, line ")
    return str(caught.value)


@pytest.mark.parametrize("suffix", ALL)
def test_a_file_that_is_cut_short_is_refused(tmp_path, suffix):
    packed = PACK[suffix](TEXT)
    for size in (12, 20, len(packed) // 3, len(packed) // 2, len(packed) - 9, len(packed) - 1):
        said = is_refused(write(tmp_path, packed[:size], "set.txt"))
        assert "compressed data that is cut short or corrupt" in said and f"a complete {suffix} file" in said


@pytest.mark.parametrize("suffix", ALL)
def test_a_damaged_second_stream_does_not_end_the_file_early(tmp_path, suffix):
    head, tail = TEXT.partition(b"\n")[2][:5000], TEXT.partition(b"\n")[2][5000:]
    header = b"%d 2000 4\n" % head.count(b"\n")
    whole = PACK[suffix](header + head[: head.rindex(b"\n") + 1])
    assert load_xmc(write(tmp_path, whole, "set.txt"))[0].shape[1] == 2000
    second = PACK[suffix](tail)
    for wrong in (b"?" + second[1:], second[:3], b"garbage", second[:-4] + b"????"):
        is_refused(write(tmp_path, whole + wrong, "set.txt"))


@pytest.mark.parametrize("suffix", ALL)
def test_damage_is_found_or_changes_nothing(tmp_path, suffix):
    """Where a byte is wrong: an error, or (in a header's name or time) the same matrices."""
    packed, chance = bytearray(PACK[suffix](TEXT)), random.Random(7)
    if suffix == ".zst":
        zstd = compression.Zstandard.module()
        packed = bytearray(zstd.compress(TEXT, options={zstd.CompressionParameter.checksum_flag: 1}))
    for _ in range(150):
        spoilt = packed.copy()
        spoilt[chance.randrange(len(packed))] ^= chance.randrange(1, 256)
        path = write(tmp_path, bytes(spoilt), "set.txt")
        try:
            X, Y = load_xmc(path)
        except ValueError as error:
            assert str(error).startswith(f"{path}, line ") and ", expected " in str(error)
        else:
            assert is_whole(X, Y)


@pytest.mark.parametrize("magic", [b"\x1f\x8b", b"\xfd7zXZ\0", b"BZh91AY&SY", b"\x28\xb5\x2f\xfd", b"\x50\x2a\x4d\x18"])
def test_garbage_behind_a_magic_number_is_refused(tmp_path, magic):
    if magic[1:2] in (b"\xb5", b"\x2a") and ".zst" not in PACK:
        pytest.skip("no package for Zstandard")
    chance = random.Random(3)
    for size in (0, 1, 40, 4000):
        is_refused(write(tmp_path, magic + chance.randbytes(size), "set.txt"))


def test_a_missing_package_for_zstandard_is_named(tmp_path, monkeypatch):
    def absent(name):
        raise ImportError(name)

    monkeypatch.setattr(compression.importlib, "import_module", absent)
    path = write(tmp_path, b"\x28\xb5\x2f\xfd....", "set.txt")
    with pytest.raises(ValueError, match=f"{path}: found Zstandard compression, expected .*pip install backports.zstd"):
        load_xmc(path)
    with pytest.raises(ValueError, match="pip install backports.zstd"):
        save_xmc(tmp_path / "set.txt.zst", np.eye(2), np.eye(2))
    assert [file.name for file in tmp_path.iterdir()] == ["set.txt"]


def test_errors_of_the_system_stay_theirs(tmp_path):
    with pytest.raises(IsADirectoryError):
        load_xmc(tmp_path)
    with pytest.raises(FileNotFoundError):
        load_xmc(tmp_path / "none")


def test_memory_grows_only_with_content(tmp_path):
    """Four gigabytes of zeros or of one digit in four megabytes, and headers that claim too much."""
    for filler, said in ((b"\0", "zero byte"), (b"1", "a header of three")):
        member = gzip.compress(filler * (16 << 20), compresslevel=9)
        assert said in is_refused(write(tmp_path, member * 256, "set.txt"))
    said = is_refused(write(tmp_path, b"1000000000000 3 4\n0 0:1\n", "set.txt"))
    assert "'1000000000000' in the header" in said
    said = is_refused(write(tmp_path, b"2147483647 2147483647 2147483647\n0 0:1\n", "set.txt"))
    assert "the end of the file after 1 samples" in said


def test_writing_follows_links_and_keeps_modes(tmp_path):
    target, link = write(tmp_path, b"old", "set.txt"), tmp_path / "link.txt"
    target.chmod(0o640)
    link.symlink_to(target)
    save_xmc(link, np.eye(2), np.eye(2))
    assert link.is_symlink() and target.read_text().startswith("2 2 2\n")
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    assert {file.name for file in tmp_path.iterdir()} == {"set.txt", "link.txt"}


def test_devices_pipes_and_folders_are_not_replaced(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path, kind in {pipe: "a pipe", "/dev/null": "a device", tmp_path: "a folder"}.items():
        with pytest.raises(ValueError, match=f"{path}: found {kind}, expected a file"):
            save_xmc(path, np.eye(2), np.eye(2))
    assert stat.S_ISFIFO(pipe.stat().st_mode) and [file.name for file in tmp_path.iterdir()] == ["pipe"]
