"""A small HTTP service of a model's predictions, with the standard library alone.

    python examples/serve.py model.npz --port 8080
    curl -d '{"rows": [{"3": 0.5, "17": 1}], "k": 5}' http://127.0.0.1:8080/predict

A row is an object of {feature: value}. The answer has a list of [label, probability] for each row, best first. Requests
are answered by threads of their own, which predict on one network at once. `--processes 4` starts as many processes
that listen on one port; of a file that was saved with `inference=True` they share the memory.
"""

import argparse
import json
import os
import socket
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
from scipy import sparse

import slide

MOST_BYTES = 16 << 20  # of a request
MOST_K = 1000


class Server(ThreadingHTTPServer):
    """Answers by the predictions of a model: a Network or an Ensemble."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address, model, shared=False):
        self.model, self._shared = model, shared
        super().__init__(address, Handler)

    def server_bind(self):
        if self._shared:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        super().server_bind()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        model = self.server.model
        if self.path != "/health":
            return self._answer(404, {"error": f"found {self.path}, expected /health, or POST /predict"})
        self._answer(200, {"features": model.n_features, "labels": model.n_labels})

    def do_POST(self):
        try:
            body = self._body()
            if self.path != "/predict":
                return self._answer(404, {"error": f"found {self.path}, expected /predict"})
            self._answer(200, {"predictions": predict(self.server.model, json.loads(body))})
        except (ValueError, RecursionError) as error:
            self._answer(400, {"error": str(error)})

    def _body(self):
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > MOST_BYTES:
            self.close_connection = True
            raise ValueError(f"Content-Length: found {length!r}, expected at most {MOST_BYTES} bytes")
        return self.rfile.read(int(length))

    def _answer(self, status, content):
        text = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *args):
        """Nothing: a line per request would be most of the work."""


def predict(model, request) -> list:
    """[[label, probability], ...] for each row of a request; ValueError where it is none."""
    if not isinstance(request, dict) or not request.keys() <= {"rows", "k", "threshold"}:
        raise ValueError("request: expected an object of rows, k and threshold")
    k = request.get("k", 5)
    if not isinstance(k, int) or isinstance(k, bool) or not 1 <= k <= MOST_K:
        raise ValueError(f"k: found {k!r}, expected an integer from 1 to {MOST_K}")
    rows = as_rows(request.get("rows"), model.n_features)
    ids, values = model.predict_proba(rows, k, threshold=request.get("threshold", 0.0))
    return [
        [[label, round(p, 6)] for label, p in zip(*row, strict=True) if label >= 0]
        for row in zip(ids.tolist(), values.tolist(), strict=True)
    ]


def as_rows(rows, n_features):
    """CSR rows of a list of {feature: value}."""
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError('rows: expected a list of objects such as {"3": 0.5}')
    for row in rows:
        for name, value in row.items():
            if not name.isdecimal() or not name.isascii() or int(name) >= n_features:
                raise ValueError(f"rows: found the feature {name!r}, expected 0 to {n_features - 1}")
            if not isinstance(value, int | float) or isinstance(value, bool) or not abs(value) < 1e30:
                raise ValueError(f"rows: found the value {value!r} of feature {name}, expected a finite number")
    indptr = np.cumsum([0, *map(len, rows)])
    ids = np.array([int(name) for row in rows for name in row], np.int64)
    values = np.array([value for row in rows for value in row.values()], np.float32)
    return sparse.csr_array((values, ids, indptr), shape=(len(rows), n_features))


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--processes", type=int, default=1)
    options = parser.parse_args(arguments)
    for _ in range(options.processes - 1):
        if os.fork() == 0:
            break
    model = slide.load(options.model, threads=1)  # each request has a thread
    Server((options.host, options.port), model, options.processes > 1).serve_forever()


if __name__ == "__main__":
    main()
