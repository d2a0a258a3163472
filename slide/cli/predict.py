"""Print the best labels of every row of a data file, as label:logit, best first."""

import sys

from slide.cli.arguments import add_class_arguments, add_setting, given_classes, given_settings, positive_int
from slide.cli.evaluate import check_shape
from slide.data import load_xmc
from slide.network import Network


def add_arguments(parser):
    parser.add_argument("model", metavar="MODEL", help="a network that train saved")
    parser.add_argument("--input", required=True, metavar="FILE", help="data in XMC text; its labels are not read")
    parser.add_argument("--top-k", type=positive_int, default=5, metavar="K", help="labels per row (default 5)")
    parser.add_argument("--sampled", action="store_true", help="only labels that the hash tables retrieve")
    add_setting(parser, "threads")
    add_class_arguments(parser)


def run(options):
    network = Network.load(options.model, **given_settings(options, ["threads"]), **given_classes(options))
    X, _ = load_xmc(options.input)
    check_shape(options.input, network, X)
    if options.sampled:
        network.rehash()
    ids, values = network.predict(X, k=options.top_k, sampled=options.sampled)
    for row, logits in zip(ids, values, strict=True):
        found = (f"{label}:{logit:.4f}" for label, logit in zip(row, logits, strict=True) if label >= 0)
        sys.stdout.write(" ".join(found) + "\n")
