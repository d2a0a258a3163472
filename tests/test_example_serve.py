"""examples/serve.py under concurrent load: every answer is that of the network alone; wrong requests are refused."""

import http.client
import json
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import slide
from slide.prediction import Ensemble
from tests.networks import make, separable

sys.path.append(str(Path(__file__).parents[1] / "examples"))
import serve  # noqa: E402

X, Y = separable()
CLIENTS, REQUESTS = 12, 15


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    path = tmp_path_factory.mktemp("served") / "model.npz"
    make("vanilla, simhash", 1).fit(X, Y, steps=30).save(path, inference=True)
    return slide.load(path, threads=1)


@pytest.fixture(scope="module", params=["network", "ensemble"])
def server(request, network):
    server = serve.Server(("127.0.0.1", 0), network if request.param == "network" else Ensemble([network]))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join(30)


def ask(connection, body, path="/predict", method="POST"):
    connection.request(method, path, body if isinstance(body, str | None) else json.dumps(body))
    answer = connection.getresponse()
    return answer.status, json.loads(answer.read())


def as_request(rows):
    return [dict(zip(map(str, row.indices.tolist()), row.data.tolist(), strict=True)) for row in rows]


def test_answers_under_load_are_those_of_the_network_alone(server, network):
    def client(seed):
        rng, wrong = np.random.default_rng(seed), 0
        connection = http.client.HTTPConnection(*server.server_address, timeout=60)
        for _ in range(REQUESTS):
            some, k = rng.choice(len(expected), rng.integers(1, 6)), int(rng.integers(1, 8))
            status, answer = ask(connection, {"rows": as_request(X[[i]] for i in some), "k": k})
            assert status == 200
            for i, found in zip(some, answer["predictions"], strict=True):
                wrong += [label for label, _ in found] != expected[i][0][:k].tolist()
                np.testing.assert_allclose([p for _, p in found], expected[i][1][:k], atol=2e-6)
        connection.close()
        return wrong

    expected = list(zip(*network.predict_proba(X, 8), strict=True))
    with ThreadPoolExecutor(CLIENTS) as pool:
        assert sum(pool.map(client, range(CLIENTS))) == 0


def test_a_threshold_and_rows_without_features(server, network):
    connection = http.client.HTTPConnection(*server.server_address, timeout=60)
    status, answer = ask(connection, {"rows": [{}, *as_request([X[[0]]])], "threshold": 0.05})
    assert status == 200 and len(answer["predictions"]) == 2
    assert all(p >= 0.05 for row in answer["predictions"] for _, p in row)
    assert ask(connection, {"rows": []}) == (200, {"predictions": []})
    assert ask(connection, None, "/health", "GET") == (200, {"features": X.shape[1], "labels": Y.shape[1]})


@pytest.mark.parametrize(
    "body",
    ["", "{", "[]", {"rows": 3}, {"rows": [3]}, {"rows": [{"x": 1}]}, {"rows": [{"40": 1}]}, {"rows": [{"1": "a"}]},
     {"rows": [{"1": True}]}, {"rows": [{"1": 1e31}]}, '{"rows": [{"1": NaN}]}', {"rows": [], "k": 0},
     {"rows": [], "k": 10**6}, {"rows": [{}], "threshold": 2}, {"rows": [], "more": 1}, "[" * 100_000],
)  # fmt: skip
def test_wrong_requests_are_refused_and_the_connection_goes_on(server, body):
    connection = http.client.HTTPConnection(*server.server_address, timeout=60)
    status, answer = ask(connection, body)
    assert status == 400 and answer["error"]
    assert ask(connection, {"rows": [{"1": 1}], "k": 1})[0] == 200
    assert ask(connection, {"rows": []}, "/other")[0] == 404
    assert ask(connection, None, "/other", "GET")[0] == 404
