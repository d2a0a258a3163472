"""The models of what counters would say: TLB misses from addresses, memory's part of the roofline."""

import numpy as np
import pytest

from experiments.frame import problems, roofline
from experiments.frame.claims import HOLDS, IN_PART, UNMEASURED
from experiments.frame.training import network, settings
from experiments.paper import huge_pages, inefficiency
from experiments.paper.huge_pages import addresses, tlb
from slide.rows import as_sparse_rows


def test_streams_with_a_known_answer_miss_as_often_as_expected():
    lines = tlb.known(3)
    assert {line["level"] for line in lines} == {"first", "second"} and len(lines) == 8
    for line in lines:
        assert line["found"] == pytest.approx(line["expected"], abs=0.01), line


def lru_twin(pages, entries, ways):
    """By the last use of every page of the set."""
    missed, n_sets = [], entries // ways
    for at, page in enumerate(pages):
        others = dict.fromkeys(p for p in pages[:at][::-1] if p % n_sets == page % n_sets)
        missed.append(page not in list(others)[:ways])
    return missed


@pytest.mark.parametrize(("entries", "ways"), [(1, 1), (8, 2), (12, 12), (8, 1)])
def test_a_buffer_forgets_what_was_not_used_for_longest(entries, ways):
    pages = np.random.default_rng(entries).integers(0, 3 * entries, 400)
    assert tlb.Buffer(entries, ways).misses(pages).tolist() == lru_twin(pages.tolist(), entries, ways)


def test_a_page_that_is_used_on_and_on_misses_once_and_large_pages_hold_more():
    stream = np.arange(0, 4 << 20, tlb.LINE)
    assert tlb.Tlb("4 KB").replay(stream) == (1024, 1024)
    assert tlb.Tlb("2 MB").replay(stream) == (2, 2)
    model = tlb.Tlb("4 KB")
    model.replay(stream)
    assert model.replay(stream) == (1024, 0)  # more than the first level, and fewer than the second
    assert model.replay(stream[:0]) == (0, 0)


@pytest.mark.slow
def test_addresses_are_those_of_the_rows_and_buckets_that_a_batch_uses():
    found = problems.problem("tiny", n_test=1)
    net = network(found, settings("slide", found), 1e-3, 10, 1, 0)
    X, Y = (part[:40] for part in found.train)
    net.partial_fit(X, Y)
    rows = as_sparse_rows(X).normalized()
    streams = addresses.of_batch(net, rows)
    first, last = (layer.parameters for layer in net.layers)
    assert first.w.shape[0] == found.n_features and last.w.shape[0] == found.n_labels
    width = first.w.strides[0] // tlb.LINE
    assert len(streams["input"]) == width * len(rows.ids)
    assert len(streams["input_update"]) == 3 * width * len(np.unique(rows.ids))
    w = addresses.of(last.w)
    assert streams["forward"].min() >= w and streams["forward"].max() < w + last.w.nbytes
    active = (streams["forward"][:: last.w.strides[0] // tlb.LINE] - w) // last.w.strides[0]
    assert np.array_equal(active, net.layers[-1]._pass.active.ids)
    # Every id of a sample's buckets lies in a line of the stream.
    index = net.layers[-1].index
    codes = index.codes(net.layers[0].exact(rows))
    located, items = index.tables.locate(codes), index.tables.items
    start, count = index.tables.buckets[0, located[0, 7]].astype(int)
    places = addresses.of(items) + items.itemsize * np.arange(start, start + count)
    assert np.isin(places // tlb.LINE, streams["sample"] // tlb.LINE).all()


@pytest.mark.parametrize(("large", "word"), [((1.0, 0.1), HOLDS), ((1.0, 9.0), IN_PART)])
def test_pages_by_the_model(large, word, monkeypatch):
    off = {"start": 900, "faults_per_s": 30, "huge_bytes": 0, "bytes": 100, "ms": 5.0}
    on = {**off, "start": 9, "faults_per_s": 3, "huge_bytes": 90}
    monkeypatch.setattr(huge_pages, "medians", lambda _: {False: off, True: on})
    lines = [{"record": "modelled", "size": size, "stage": "x", "loads": 1000, "missed": 10 * a, "walked": 10 * b}
             for size, (a, b) in (("4 KB", (5.0, 2.0)), ("2 MB", large))]  # fmt: skip
    found = huge_pages.verdicts(lines)["huge_pages"]
    assert found.word == word and "a model of the TLBs" in found.why and huge_pages.modelled(lines)["2 MB"] == large


def stages(system, threads, memory):
    needed = {"memory": memory, "arithmetic": 100 - memory}
    return dict(record="stages", system=system, threads=threads, total=1.0, stages={}, floors={"x": 0.5}, needed=needed)


@pytest.mark.parametrize(
    ("slide", "torch", "word"),
    [((80, 70), (60, 65), HOLDS), ((80, 85), (20, 15), IN_PART), ((80,), (60,), UNMEASURED)],
)
def test_memory_by_the_model(slide, torch, word):
    lines = [{"record": "counters", "allowed": [], "why": "no counters"}]
    lines += [stages("slide", n, share) for n, share in enumerate(slide, 1)]
    lines += [stages("torch", n, share) for n, share in enumerate(torch, 1)]
    found = inefficiency.verdicts(lines)["memory_bound"]
    assert found.word == word and "no counters" in found.why


def test_the_floors_of_a_full_softmax_follow_its_labels():
    def least(n_labels):
        shape = type("Problem", (), {"n_labels": n_labels, "n_features": 100, "train": [np.ones((4, 25))] * 2})
        shape.train[0] = type("X", (), {"nnz": 100, "shape": (4, 100)})
        return roofline.full_floors(shape, 8, 16, {"read": 1.0, "gather": 1.0, "update": 1.0}, 1e-3)

    small, large = least(1000), least(2000)
    assert large["forward"]["floor_ms"] == pytest.approx(2 * small["forward"]["floor_ms"])
    assert small["update"] == {**small["update"], "bytes": 7 * 4 * 16 * 1000, "bound": "update"}
    assert small["backward"]["bound"] == "arithmetic" and small["backward"]["flops"] == 2 * small["forward"]["flops"]
