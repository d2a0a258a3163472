"""Files of data that were damaged or made up: read as the plain-Python twin reads them, or refused by name."""

import pytest

from slide.data import npz
from tests.robustness import fuzz
from tests.robustness.archives import entries, packed
from tests.robustness.parsers import good_archives


def test_mutated_files_are_refused_or_read_as_the_twin_reads_them(tmp_path):
    outcomes = fuzz.run("parsers", 3000, seed=5, faults=str(tmp_path))
    assert not fuzz.faults_of(outcomes) and sum(outcomes.values()) == 3000
    assert outcomes["refused"] > 300 and outcomes["read"] > 300


@pytest.mark.parametrize("header", ["[" + "0," * 4000, "(" * 5000, "{'shape': (", "\\", "1", "", "{", "'"])
def test_array_headers_that_python_cannot_parse_are_refused(tmp_path, header):
    members = entries(good_archives(tmp_path)[0])
    name, data = next(iter(members.items()))
    members[name] = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + data[128:]
    path = tmp_path / "data.npz"
    path.write_bytes(packed(members.items()))
    with pytest.raises(ValueError, match=r"data\.npz: found X\.data with a broken header"):
        npz.read_npz(path)
