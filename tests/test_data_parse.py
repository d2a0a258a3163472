"""Text becomes numbers as plain Python reads them: the parse kernels against their twins, on sound and broken rows."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from slide import reference
from slide._kernels import parse
from slide.data.samples import nearest_float32
from tests.conftest import times

BLANKS = st.sampled_from([" ", "  ", "\t", " \t"])
NUMBERS = st.one_of(
    st.floats(width=32, allow_nan=False, allow_infinity=False).map(repr),
    st.from_regex(r"[+-]?([0-9]{1,25}\.?[0-9]{0,25}|\.[0-9]{1,30})([eE][+-]?[0-9]{1,2})?", fullmatch=True),
    st.sampled_from("16777217 16777219 0.5000000298023223876953125 1e-45 7e-46 7.1e-46 1e-400".split()),
    st.sampled_from("1. .5 +1 -0 0e999999999999999999999 1e-38 1.17549435e-38 3.4028235e38".split()),
    st.sampled_from("-0.50 007 1E5 9007199254740993 18446744073709551615 18446744073709551616".split()),
)
BROKEN = st.sampled_from("nan inf 1e 1e+ . - 1.2.3 0x1 1_0 --1 1,5 1f".split() + [""])
LABELS = st.one_of(
    st.lists(st.integers(0, 9), max_size=4).map(lambda ids: ",".join(map(str, ids))),
    st.lists(st.integers(1, 10), max_size=4).map(lambda ids: ", ".join(map(str, ids))),
    st.sampled_from(["-1", "10", "1,", ",1", "a", "1.0", "1,99999999999999999999", "\r"]),
    st.sampled_from(["1,\t 2", "1, ", "1 ,2", "0, 11"]),
)
FEATURES = st.builds("{}:{}".format, st.integers(0, 21), NUMBERS)
FAULTY = st.one_of(
    st.builds("{}:{}".format, st.integers(0, 21), BROKEN),
    st.sampled_from(["3", ":1", "x:1", "-1:1", "1::1", "99999999999999999999:1", "1 :1", "\r", "1:1\r2:1"]),
)


def rows_of(features):
    return st.builds(
        lambda first, rest, end: first + "".join(blank + token for blank, token in rest) + end,
        LABELS,
        st.lists(st.tuples(BLANKS, features), max_size=6),
        st.sampled_from(["\n", "\r\n", " \n", "\t\r\n"]),
    )


TEXTS = st.lists(st.one_of(rows_of(FEATURES), rows_of(FEATURES), rows_of(FAULTY)), min_size=1, max_size=5)


RULES = st.tuples(st.just(20), st.sampled_from([10, -1]), st.integers(0, 1), st.integers(0, 1), st.integers(0, 2))
ZERO_BASED = (20, 10, 0, 0, 0)


def run(module, text, max_rows, rules=ZERO_BASED):
    size = len(text)
    outputs = (
        np.zeros(size + 1, np.int64),
        np.zeros(size // 2 + 1, np.int32),
        np.zeros(size + 1, np.int64),
        np.zeros(size // 4 + 1, np.int32),
        np.zeros(size // 4 + 1, np.float32),
        np.zeros((size // 4 + 1, 3), np.int64),
    )
    report = np.zeros(5, np.int64)
    fault = module.parse_rows(np.frombuffer(text, np.uint8), *rules, max_rows, *outputs, report)
    label_ptr, labels, feature_ptr, features, values, doubts = outputs
    for k, start, end in doubts[: report[4]]:
        values[k] = nearest_float32(text[start:end].decode())
    rows, at, n_labels, n_values, _ = report.tolist()
    return (
        int(fault), at, label_ptr[: rows + 1].tolist(), labels[:n_labels].tolist(),
        feature_ptr[: rows + 1].tolist(), features[:n_values].tolist(), values[:n_values].tobytes(),
    )  # fmt: skip


@times(7)
@given(TEXTS.map("".join), st.integers(0, 6), RULES)
@example("1,2 0:1 3:2.5\n 0:1\n\n \n", 9, ZERO_BASED)
@example("1, 2 1:1\n0, 1 2:1\n", 9, (20, 10, 1, 1, 0))
@example("1:2 20:3\n\n0:1\n", 9, (20, -1, 1, 0, 0))
@example("1 0:1\n \n\n", 9, (20, 10, 0, 0, 1))
@example("1 0:1\n \t\r\n1 2:1\n", 9, (20, 10, 0, 0, 2))
def test_rows_or_the_place_of_their_first_fault_are_found(text, max_rows, rules):
    assert run(parse, text.encode(), max_rows, rules) == run(reference, text.encode(), max_rows, rules)


def test_rows_of_ids_from_one_end_at_a_blank_line():
    text = b"2, 3 1:1 4:2.5\n 2:3\r\n5\n"
    found = run(parse, text + b"  \n", 9, (20, 10, 1, 1, parse.Blank.NO))
    values = np.float32([1, 2.5, 3]).tobytes()
    assert found == (parse.Fault.BLANK, len(text), [0, 2, 2, 3], [1, 2, 4], [0, 2, 3, 3], [0, 3, 1], values)


@times(8)
@given(NUMBERS)
@example("340282356779733661637539395458142568447.9999")
@example("340282356779733661637539395458142568448")
@example("1.00000005960464477539062500000000000001")
@example("1.000000059604644775390625")
def test_numbers_are_rounded_once(token):
    expected = reference.round_decimal(*reference.scan_decimal(token.encode()))
    assert nearest_float32(token).tobytes() == expected.tobytes()


def test_numbers_beside_ties_are_rounded_to_the_right_side():
    """Decimals that lie on, just above or just below half way between two floats."""
    random = np.random.default_rng(0)
    for bits in random.integers(1, 0x7F000000, 300, dtype=np.uint32):
        low, high = np.array([bits, bits + 1], np.uint32).view(np.float32).astype(np.float64)
        half = (low + high) / 2
        for shown in (f"{half:.60e}", f"{half:.17e}", f"{half:.16e}", f"{half:.18e}", f"{half:.60f}"[:250]):
            text = f"1 3:{shown}\n".encode()
            assert run(parse, text, 1) == run(reference, text, 1)


@given(st.lists(st.lists(st.integers(0, 40), max_size=70), max_size=6))
def test_rows_are_sorted_and_repeated_features_found(rows):
    ptr = np.cumsum([0] + [len(row) for row in rows])
    ids = np.array(sum(rows, []), np.int32)
    values = ids.astype(np.float32) / 2
    ours, plain = (ids.copy(), values.copy()), (ids.copy(), values.copy())
    ptr.flags.writeable = False
    found = parse.sort_rows(ptr, *ours)
    assert found == reference.sort_rows(ptr, *plain)
    stop = ptr[found + 1] if found >= 0 else len(ids)
    assert ours[0][:stop].tolist() == plain[0][:stop].tolist()
    assert (ours[1][:stop] == ours[0][:stop] / 2).all()


@given(
    st.lists(st.floats(width=32, min_value=2**-120, max_value=2**120), max_size=30),
    st.lists(st.integers(0, 2**31 - 1), max_size=9),
)
@example([57942952.0], [])
@example([0.1, 1e6, 1e7, 123456.7, 1e-15, 1e-16, 1e-17, 0.30000001192092896], [0])
def test_numbers_are_written_with_the_fewest_digits_that_read_back(values, labels):
    values = np.array(values + [-value for value in values] + [0.0, -0.0], np.float32)
    n, m = len(values), len(labels)
    label_ptr, feature_ptr = np.array([0, m, m, m]), np.array([0, n // 2, n // 2, n])
    texts = []
    for module in (parse, reference):
        text = np.zeros(6 + 11 * m + 30 * n, np.uint8)
        ids = np.array(labels, np.int32), np.arange(n, dtype=np.int32)
        used = module.format_rows(label_ptr, ids[0], feature_ptr, ids[1], values, 0, 3, text)
        texts.append(text[:used].tobytes())
    assert texts[0] == texts[1]


@pytest.mark.parametrize("name", ["parse_rows", "sort_rows", "format_rows"])
def test_twins_have_the_kernels_names(name):
    assert hasattr(parse, name) and hasattr(reference, name)
