"""How fast is load_xmc, beside scikit-learn's load_svmlight_file and napkinXC's load_libsvm_file?

    python -m experiments.benchmarks.bench_parse [--file FILE] [--repeats N]

Each round runs every loader once, in turning order; a ratio is the median over the rounds of the loader's
time over load_xmc's. All yield X and Y as CSR, except that scikit-learn yields tuples of labels; it takes no
header line and is given the text after it, from memory.
"""

import argparse
import io
import statistics
import tempfile
import time
from pathlib import Path

from slide.data import load_xmc, make_xmc, save_xmc


def sklearn_loader(path):
    try:
        from sklearn.datasets import load_svmlight_file
    except ImportError as fault:
        print(f"scikit-learn is left out: {fault}")
        return None
    text = path.read_bytes().partition(b"\n")[2]
    return lambda: load_svmlight_file(io.BytesIO(text), multilabel=True, zero_based=True, dtype="float32")


def napkinxc_loader(path):
    try:
        from napkinxc.datasets import load_libsvm_file
    except ImportError as fault:
        print(f"napkinXC is left out: {fault}")
        return None
    return lambda: load_libsvm_file(str(path), labels_format="csr_matrix", sort_indices=True)


def measure(loaders, repeats):
    """{name: seconds of each round}; one round before them is not counted."""
    names = list(loaders)
    seconds = {name: [] for name in names}
    for round_ in range(-1, repeats):
        for k in range(len(names)):
            name = names[(k + round_) % len(names)]
            start = time.perf_counter()
            loaders[name]()
            if round_ >= 0:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def compare(path, repeats):
    size = path.stat().st_size / 1e6
    loaders = {
        "slide.data.load_xmc": lambda: load_xmc(path),
        "sklearn load_svmlight_file": sklearn_loader(path),
        "napkinXC load_libsvm_file": napkinxc_loader(path),
    }
    seconds = measure({name: loader for name, loader in loaders.items() if loader}, repeats)
    own = seconds["slide.data.load_xmc"]
    print(f"{path.name}: {size:.1f} MB, {repeats} rounds\n")
    print(f"{'loader':<28}{'median s':>10}{'fastest s':>11}{'MB/s':>8}{'time / ours':>13}")
    for name, times in seconds.items():
        ratio = statistics.median(a / b for a, b in zip(times, own, strict=True))
        median = statistics.median(times)
        print(f"{name:<28}{median:>10.3f}{min(times):>11.3f}{size / median:>8.0f}{ratio:>13.2f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--file", type=Path, help="plain text; default: a synthetic file, written for this")
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    if options.file:
        compare(options.file, options.repeats)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "amazon-670k-tenth.txt")
        save_xmc(path, *make_xmc("amazon-670k", n_test=1, scale=0.1)[0])
        compare(path, options.repeats)


if __name__ == "__main__":
    main()
