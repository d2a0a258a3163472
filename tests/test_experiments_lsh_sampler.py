"""The experiment on tables as samplers: its estimates are unbiased, its formulas agree with real tables."""

import numpy as np
import pytest

from experiments.frame.claims import FAILS, HOLDS, IN_PART
from experiments.paper import lsh_sampler
from experiments.paper.lsh_sampler import show, spread, sums
from experiments.paper.lsh_sampler.sampled_gradients import Linear, Logistic, Sampler, least_loss, regression


def problem(point=0.5, n=80, dim=6, tail=3):
    x, y, solution = regression(n, dim, tail, 0, np.random.default_rng(1))
    return x, y, point * solution


def test_rows_and_targets_are_normalised():
    for clusters in (0, 5):
        x, y, w = regression(500, 7, "normal", clusters, np.random.default_rng(0))
        assert np.allclose(np.linalg.norm(x, axis=1), 1) and abs(y.mean()) < 1e-12 and abs(y.std() - 1) < 1e-12
        assert np.abs(x.T @ (x @ w - y)).max() < 1e-9


@pytest.mark.parametrize("point", [0, 0.5, 1])
@pytest.mark.parametrize("scale", [1.0, 0.4])
def test_expected_second_moments_are_those_of_real_tables(point, scale):
    x, y, w = problem(point)
    rows = Linear.hashed(x, y, scale)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    query = Linear.queries(w, scale)[0]
    between = np.arccos(np.clip(rows @ rows.T, -1, 1))
    np.fill_diagonal(between, 0)
    size = np.abs(Linear.slopes(x, y, w))
    found = spread.expected(size, rows @ query / np.linalg.norm(query), between, [1, 3])
    whole = x.T @ Linear.slopes(x, y, w) / len(x)
    for K, second in found.items():
        lsh = spread.errors(x, y, w, Sampler(Linear, x, y, K, 3000, 0, 1, scale))["lsh"]
        assert lsh == pytest.approx(second - whole @ whole, rel=0.08)


@pytest.mark.parametrize("model", [Linear, Logistic])
@pytest.mark.parametrize("point", [0, 1])
def test_drawn_gradients_are_unbiased(model, point):
    x, y, w = problem(point)
    y = np.where(y > 0, 1.0, -1.0) if model is Logistic else y
    sampler = Sampler(model, x, y, 3, 4000, 2, 1, 0.5)
    ids, factor = sampler.draw(w, 200_000, np.random.default_rng(0))
    slopes = model.slopes(x, y, w)
    estimate = x[ids].T @ (factor * slopes[ids]) / 200_000
    whole = x.T @ slopes / len(x)
    error = (x[ids] * (factor * slopes[ids])[:, None]).std(axis=0) / 200_000**0.5 + 0.02
    assert np.all(np.abs(estimate - whole) < 4 * error)
    assert factor.sum() / 200_000 == pytest.approx(1, abs=0.05)


def test_no_probabilities_are_better_than_those_in_proportion_to_the_norms():
    lines = []
    records = type("Records", (), {"add": lambda _, record, **fields: lines.append(fields)})()
    chosen = dict(n=60, points=[0, 0.5, 1], K=[1, 2, 5])
    spread.measure(5, 2, chosen, records, 0)
    assert len(lines) == 2 * 3 * 3
    for line in lines:
        assert line["best"] <= min(line["uniform"], line["lsh"])
        # One bit is that of the query or of its negative: a bucket of either holds each row with probability 1/2.
        assert line["K"] > 1 or line["lsh"] == pytest.approx(line["uniform"], rel=0.3)


def test_what_tables_share_is_left_after_many_draws():
    errors = {"lsh": 2.0, "between": 0.5}
    found = spread.after(errors, [1, 10, 10**9], 5)
    assert found[0] == 2.0 and found[1] == pytest.approx(0.1 + 0.19) and found[2] == pytest.approx(0.1)


@pytest.mark.parametrize("queries", [1, 2])
def test_items_are_found_as_often_as_the_formula_says(queries):
    rows, _, p = sums.items_of(dict(sum_items=50, sum_dim=60), 0)
    found = np.zeros(50)
    for held in sums.retrieved(rows, 3, 4, 400, 100):
        found += held[:queries].any(axis=0)
    expected = sums.found_with(p, 3, 4, queries)
    assert np.abs(found / 400 - expected).max() < 4.5 * (0.25 / 400) ** 0.5


def test_chance_is_the_binomial_of_95_percent():
    assert sums.chance(40) == (35, 40)
    assert sums.holds_truth({"mean": 1.1, "std": 1.0, "draws": 100})
    assert not sums.holds_truth({"mean": 1.2, "std": 1.0, "draws": 100})
    assert sums.varies({"std": 0.1}) and not sums.varies({"std": 1e-17})


def test_draws_in_parts_are_as_many_as_asked_for(monkeypatch):
    monkeypatch.setattr(sums, "TABLES", 7)
    rows, _, _ = sums.items_of(dict(sum_items=9, sum_dim=60), 0)
    held = list(sums.retrieved(rows, 2, 3, 5, 0))
    assert len(held) == 5 and all(each.shape == (2, 9) for each in held)
    # One query's bucket of a table is never its negative's.
    assert not any((each[0] & each[1]).any() for each in sums.retrieved(rows, 2, 1, 5, 0))


def test_least_loss_of_linear_regression_is_that_of_least_squares():
    x, y, w = problem(1)
    assert least_loss("linear", x, y) == pytest.approx(Linear.loss(x, y, w), rel=1e-5)


def test_a_cell_of_the_map_has_the_best_settings():
    line = dict(record="spread", dim=9, tail=2, point=1, uniform=4.0, best=1.0, seed=0)
    lines = [{**line, "K": K, "balanced": b, "lsh": lsh} for K, b, lsh in ((2, False, 8.0), (5, True, 2.0))]
    lines.append(dict(record="cost", dim=9, K=5, lsh=3.0, uniform=1.0))
    assert show.cells(lines, 1) == {(9, 2): {"gain": pytest.approx(2), "K": 5, "bound": pytest.approx(4)}}
    assert show.pays(lines, 1) == 0
    lines[-1]["lsh"] = 1.5
    assert show.pays(lines, 1) == 1


@pytest.mark.parametrize(
    ("loss", "seconds", "gain", "word"),
    [(0.5, 1.0, 9.0, HOLDS), (0.5, 9.0, 2.0, IN_PART), (2.0, 9.0, 2.0, IN_PART), (2.0, 1.0, 0.9, FAILS)],
)
def test_gradients(loss, seconds, gain, word, monkeypatch):
    made = {
        "largest_gap": 0.01, "intervals": (38, 40), "costs": (3.0, 4.0), "at_shapes": {"a": (gain, gain)},
        "ends": {"lsh": (loss, seconds), "uniform": (1.0, 2.0)}, "reason": "so",
        "always_lower": loss < 1,
    }  # fmt: skip
    for name, value in made.items():
        monkeypatch.setattr(lsh_sampler, name, lambda *_, value=value: value)
    sums_of_one = {"record": "sum", "queries": 1, "unseen": 0.1}
    found = lsh_sampler.verdicts([{"record": "header"}, {"record": "probability", "trials": 3000}, sums_of_one])
    assert found["gradients"].word == word and found["probability"].word == HOLDS
