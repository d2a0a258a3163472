"""Reading a text file in the format of the Extreme Classification Repository, by this package and by others.

Each round runs every reader once, in turning order; a ratio is the median over the rounds of the reader's time over
that of load_xmc. All yield X and Y as CSR, except that scikit-learn yields tuples of labels; it takes no header line
and is given the text after it, from memory.
"""

import importlib
import io
import statistics
import tempfile
import time
from pathlib import Path

from experiments.frame import draw
from experiments.frame.records import of

QUESTION = "How fast does load_xmc read a file, compared with scikit-learn and napkinXC?"
PAPER = "parsing is not timed"
TIME = {"smoke": "2 s", "small": "60 s"}

SETTINGS = {"smoke": dict(scale=0.004, n_train=500, repeats=2), "small": dict(scale=0.1, n_train=None, repeats=7)}
OWN = "slide.data.load_xmc"


def run(scale, records, threads, seed):
    from slide.data import make_xmc, save_xmc

    chosen = SETTINGS[scale]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "train.txt")
        save_xmc(path, *make_xmc("amazon-670k", chosen["n_train"], 1, scale=chosen["scale"], seed=seed)[0])
        records.add("file", megabytes=path.stat().st_size / 1e6)
        readers, missing = present(path)
        for text in missing:
            records.add("note", text=text)
        for line in measure(readers, chosen["repeats"]):
            records.add("round", **line)


def present(path) -> tuple[dict, list]:
    """({name: a function that reads the file}, a sentence for each reader that is not installed)."""
    from slide.data import load_xmc

    text, readers, missing = path.read_bytes().partition(b"\n")[2], {OWN: lambda: load_xmc(path)}, []
    for name, module, read in (
        ("sklearn load_svmlight_file", "sklearn.datasets", lambda module: module.load_svmlight_file(
            io.BytesIO(text), multilabel=True, zero_based=True, dtype="float32")),
        ("napkinXC load_libsvm_file", "napkinxc.datasets", lambda module: module.load_libsvm_file(
            str(path), labels_format="csr_matrix", sort_indices=True)),
    ):  # fmt: skip
        try:
            found = importlib.import_module(module)
        except ImportError as error:
            missing.append(f"{name} is left out: {error}")
        else:
            readers[name] = lambda read=read, found=found: read(found)
    return readers, missing


def measure(readers, repeats):
    """Yields seconds of each reader in each round; one round before them is not counted."""
    names = list(readers)
    for number in range(-1, repeats):
        for k in range(len(names)):
            name = names[(k + number) % len(names)]
            start = time.perf_counter()
            readers[name]()
            if number >= 0:
                yield {"reader": name, "round": number, "seconds": time.perf_counter() - start}


def summarise(records) -> dict:
    """{reader: {"seconds", "ratio" to load_xmc in the same round: medians, "rate": megabytes per second}}."""
    size, out = of(records, "file")[0]["megabytes"], {}
    own = {line["round"]: line["seconds"] for line in of(records, "round", reader=OWN)}
    for name in dict.fromkeys(line["reader"] for line in of(records, "round")):
        lines = of(records, "round", reader=name)
        seconds = statistics.median(line["seconds"] for line in lines)
        ratio = statistics.median(line["seconds"] / own[line["round"]] for line in lines)
        out[name] = {"seconds": seconds, "ratio": ratio, "rate": size / seconds}
    return out


def finding(records) -> str:
    found, size = summarise(records), of(records, "file")[0]["megabytes"]
    others = [f"{name} takes {line['ratio']:.1f} times as long" for name, line in found.items() if name != OWN]
    left_out = [line["text"] for line in of(records, "note")]
    return (
        f"load_xmc reads {size:,.0f} MB in {found[OWN]['seconds']:.2f} s ({found[OWN]['rate']:,.0f} MB per second); "
        f"{'; '.join([*others, *left_out])}."
    )


def plot(records):
    found = summarise(records)
    figure, (axis,) = draw.panels(1, QUESTION, width=8)
    colours = [draw.COLOURS["slide"], *[draw.COLOURS["torch"]] * (len(found) - 1)]
    bars = axis.barh(list(found), [line["rate"] for line in found.values()], 0.6, color=colours)
    axis.bar_label(bars, [f" {line['seconds']:.2f} s, {line['ratio']:.1f} x" for line in found.values()])
    axis.set(xlabel="MB per second; seconds; times as long as load_xmc")
    axis.set_xlim(right=1.3 * max(line["rate"] for line in found.values()))
    axis.invert_yaxis()
    return figure
