"""The records in figures/ are of the present experiments, and every claim has a verdict that follows from them."""

import re

import pytest

from experiments.benchmarks import bench_peers, bench_predict, bench_step, label_scaling
from experiments.frame import catalogue, claims, draw, records, report, runner
from experiments.frame.claims import FAILS, HOLDS, IN_PART, UNMEASURED
from experiments.paper import batch_size, core_utilization, hash_tables, huge_pages, scalability, time_accuracy

# Records of other settings than those of their experiment, with what is to be done. A new record makes the test of
# its name fail until its line here is removed.
STALE: dict[str, str] = {}
NAMES = sorted(path.stem for path in runner.FIGURES.glob("*.jsonl"))
CURRENT = [name for name in NAMES if name not in STALE]
pytestmark = pytest.mark.skipif(not NAMES, reason="a copy without figures/")


def expected(name):
    return pytest.param(name, marks=pytest.mark.xfail(strict=True, reason=STALE[name]) if name in STALE else ())


@pytest.mark.parametrize("name", [expected(name) for name in NAMES])
def test_a_record_is_of_the_settings_of_its_experiment(name):
    header = records.load(runner.FIGURES / f"{name}.jsonl")[0]
    module = catalogue.load(header["experiment"])
    assert runner.record_path(header["experiment"], header["scale"]).stem == name
    assert header["settings"] == records.settings_of(module, header["scale"]), "run it again, or name it in STALE"


def test_what_is_stale_is_there():
    assert set(STALE) <= set(NAMES)


def test_the_page_of_figures_is_that_of_the_records():
    page = runner.FIGURES / "README.md"
    assert page.read_text(encoding="utf-8") == report.text_of(runner.FIGURES), "python -m experiments report"


def test_every_claim_is_measured_once_or_says_why_not():
    named = [claim for entry in catalogue.entries().values() for claim in entry.claims]
    assert len(named) == len(set(named)) and set(named) <= set(claims.CLAIMS)
    assert {key for key, claim in claims.CLAIMS.items() if not claim.why_not} == set(named)
    for name, entry in catalogue.entries().items():
        assert hasattr(catalogue.load(name), "verdicts") == bool(entry.claims), name


@pytest.mark.parametrize("name", [name for name in CURRENT if catalogue.entries()[name].claims])
def test_an_experiment_judges_its_claims(name):
    module = catalogue.load(name)
    found = module.verdicts(records.load(runner.FIGURES / f"{name}.jsonl"))
    assert tuple(found) == module.CLAIMS
    for verdict in found.values():
        assert verdict.word in (HOLDS, IN_PART, FAILS, UNMEASURED)
        assert verdict.why and "|" not in verdict.why and "\n" not in verdict.why and not verdict.why.endswith(".")


@pytest.mark.parametrize(
    ("conditions", "word"), [([True, True], HOLDS), ([True, False], IN_PART), ([False, False], FAILS)]
)
def test_a_verdict_follows_from_its_conditions(conditions, word):
    assert claims.judged(conditions, "1 of 2").word == word
    assert str(claims.judged(conditions, "1 of 2")) == f"{word.capitalize()}: 1 of 2."


def test_no_conditions_are_no_verdict():
    with pytest.raises(ValueError, match="conditions: found none"):
        claims.judged([], "nothing")


def test_the_table_has_all_claims_in_order_and_says_what_is_not_measured():
    rows = [row for row in report.claims_table({}).splitlines() if row.startswith("| ")][1:]
    assert [re.match(r"\| (.*?) \(", row)[1] in claim.words for row, claim in zip(
        rows, claims.CLAIMS.values(), strict=True)] and all(UNMEASURED in row for row in rows)  # fmt: skip


def test_records_of_other_settings_decide_nothing():
    lines = [{"record": "header", "experiment": "batch_size", "scale": "small", "settings": {}}]
    verdict = report.verdict_on("batch_size", "batch_size", {"batch_size": lines})
    assert verdict.word == UNMEASURED and "other settings" in verdict.why


def test_one_line_says_of_which_runs_the_records_are():
    header = {"commit": "a" * 40, "cpu": "one", "build": {"simd": "avx2"}}
    other = {**header, "commit": "b" * 40 + "-dirty"}
    one = report.runs({"x": [header], "y": [header]})
    assert "All 2 records are of one run: one (avx2), commit aaaaaaaaaaaa." in one
    said = report.runs({"x": [header], "y": [other], "z": [header]})
    assert "of 2 runs" in said and "aaaaaaaaaaaa: x, z;" in said and "bbbbbbbbbbbb with changes: y." in said


def word_of(monkeypatch, module, claim, lines=(), **helpers):
    """The word of a verdict where these functions of the module return these values."""
    for name, value in helpers.items():
        monkeypatch.setattr(module, name, lambda *_, value=value: value)
    return module.verdicts([{"record": "header", "threads": 2, "settings": {"data": {}}}, *lines])[claim].word


@pytest.mark.parametrize(
    ("found", "word"),
    [({64: 2.0, 128: 3.0}, HOLDS), ({64: 3.0, 128: 2.0}, IN_PART), ({64: 3.0, 128: None}, FAILS), ({64: 0.9}, FAILS)],
)
def test_batch_sizes(found, word, monkeypatch):
    assert word_of(monkeypatch, batch_size, "batch_size", ratios=found) == word


@pytest.mark.parametrize(
    ("slide", "torch", "word"),
    [
        ({8: 85}, {8: 45}, HOLDS), ({8: 85}, {8: 84}, IN_PART), ({8: 60}, {8: 45}, IN_PART), ({8: 60}, {8: 70}, FAILS),
        ({2: 95}, {2: 45}, UNMEASURED), ({8: 95}, {}, UNMEASURED),
    ],
)  # fmt: skip
def test_busy_cores(slide, torch, word, monkeypatch):
    monkeypatch.setattr(core_utilization, "used", lambda _, system: {"slide": slide, "torch": torch}[system])
    assert core_utilization.verdicts([])["cores"].word == word


@pytest.mark.parametrize(
    ("fifo", "hashing", "word"), [(2.0, 50.0, HOLDS), (2.0, 1.0, IN_PART), (1.0, 50.0, IN_PART), (1.0, 1.0, FAILS)]
)
def test_insertion(fifo, hashing, word, monkeypatch):
    found = {"simhash": {"fifo": fifo, "reservoir": 1.0, "hashing": hashing}}
    assert word_of(monkeypatch, hash_tables, "insertion", medians=found) == word


@pytest.mark.parametrize(
    ("on", "counted", "word"),
    [
        ({}, {"dTLB-load-misses": {False: 5.0, True: 0.3}}, HOLDS), ({}, {}, IN_PART),
        ({"start": 9000, "faults_per_s": 90}, {}, FAILS), ({"huge_bytes": 0}, {}, UNMEASURED),
    ],
)  # fmt: skip
def test_pages(on, counted, word, monkeypatch):
    off = {"start": 900, "faults_per_s": 30, "huge_bytes": 0, "bytes": 100, "ms": 5.0}
    found = {False: off, True: {**off, "start": 9, "faults_per_s": 3, "huge_bytes": 90, **on}}
    assert word_of(monkeypatch, huge_pages, "huge_pages", medians=found, rates=counted) == word


@pytest.mark.parametrize(
    ("at", "gpu", "cpu", "optimised"),
    [
        ({"slide": 1.0, "full": 9.0, "torch": None, "slide-plain": 1.3}, UNMEASURED, HOLDS, HOLDS),
        ({"slide": 1.0, "full": 2.0, "torch-gpu": 4.0, "slide-plain": 1.1}, HOLDS, IN_PART, FAILS),
        ({"slide": 1.0, "full": 0.5, "torch-gpu": 2.0, "slide-plain": 1.1}, IN_PART, FAILS, FAILS),
        ({"slide": None, "full": 2.0, "torch-gpu": 0.1, "slide-plain": 2.0}, FAILS, FAILS, FAILS),
    ],
)
def test_times_to_an_accuracy(at, gpu, cpu, optimised, monkeypatch):
    words = [word_of(monkeypatch, time_accuracy, claim, reached=(0.5, at)) for claim in time_accuracy.CLAIMS]
    assert words == [gpu, cpu, optimised]


@pytest.mark.parametrize(
    ("slide", "full", "word"),
    [
        ({1: (4.0, 10.0), 2: (2.0, 5.0)}, {1: (9.0, 10.0), 2: (8.0, 9.0)}, HOLDS),
        ({1: (4.0, 10.0), 2: (3.0, 8.0)}, {1: (None, 10.0), 2: (None, 5.0)}, IN_PART),
        ({1: (4.0, 10.0), 2: (3.0, 8.0)}, {1: (4.0, 10.0), 2: (2.0, 5.0)}, FAILS),
        ({1: (4.0, 10.0)}, {1: (4.0, 10.0)}, UNMEASURED),
    ],
)
def test_more_threads(slide, full, word, monkeypatch):
    found = {"slide": slide, "full": full}, 0.5
    assert word_of(monkeypatch, scalability, "scalability", times=found) == word


@pytest.mark.parametrize(
    ("active", "ratio", "word"), [(10, 200, HOLDS), (10, 50, IN_PART), (500, 50, FAILS)]
)  # fmt: skip
def test_computation(active, ratio, word, monkeypatch):
    found = [{"system": "slide", "active": active, "ratio": 1}, {"system": "full", "active": 2000, "ratio": ratio}]
    assert word_of(monkeypatch, bench_peers, "computation", summarise=found) == word


@pytest.mark.parametrize(("cost", "word"), [(1.4, HOLDS), (4.0, IN_PART), (11.0, FAILS)])
def test_wider_layers(cost, word, monkeypatch):
    found = {"labels": 100, "ms": 1.0, "active": 10}, {"labels": 1000, "ms": cost, "active": 10}
    assert word_of(monkeypatch, label_scaling, "wider", ends=found) == word


@pytest.mark.parametrize(("speedup", "p1", "word"), [(21, 0.395, HOLDS), (21, 0.2, IN_PART), (9, 0.2, FAILS)])
def test_prediction_by_the_tables(speedup, p1, word, monkeypatch):
    line = {"record": "sampled", "stale": True, "speedup": speedup, "p1": p1, "exact_p1": 0.4}
    assert word_of(monkeypatch, bench_predict, "inference", [line]) == word


def test_pictures_are_there_in_both_forms():
    for name in NAMES:
        assert {path.suffix for path in runner.FIGURES.glob(f"{name}.*")} >= {".png", ".svg"}, name


def test_drawing_again_changes_no_byte_and_svg_keeps_its_words(tmp_path):
    pytest.importorskip("matplotlib")
    module, path = catalogue.load("core_utilization"), tmp_path / "core_utilization.jsonl"
    path.write_bytes((runner.FIGURES / path.name).read_bytes())
    first = [draw.draw(module, path).with_suffix(suffix).read_bytes() for suffix in (".png", ".svg")]
    assert [draw.draw(module, path).with_suffix(suffix).read_bytes() for suffix in (".png", ".svg")] == first
    assert module.QUESTION in first[1].decode() and len(first[1]) < 300_000


def test_a_record_of_other_settings_is_drawn_and_says_so():
    lines = [{"record": "header", "scale": "small", "settings": {}}]
    assert draw.found_in(core_utilization, lines) == f"{records.OLD.capitalize()}."


def test_below_a_picture_without_a_verdict_is_the_first_sentence(monkeypatch):
    monkeypatch.setattr(records, "current", lambda *_: True)
    monkeypatch.setattr(bench_step, "finding", lambda _: "A step takes 7.5 ms, at least 3.2. The longest stages: x.")
    assert draw.found_in(bench_step, []) == "A step takes 7.5 ms, at least 3.2."
