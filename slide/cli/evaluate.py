"""Score a saved network on a data file."""

from slide import metrics
from slide.cli.arguments import add_class_arguments, add_setting, given_classes, given_settings
from slide.data import load_xmc
from slide.network import Network


def add_arguments(parser):
    parser.add_argument("model", metavar="MODEL", help="a network that train saved")
    parser.add_argument("--test", required=True, metavar="FILE", help="data in XMC text, plain, .gz or .xz")
    parser.add_argument("--train", metavar="FILE", help="the training data, for the propensities of PSP@k")
    parser.add_argument("--sampled", action="store_true", help="score only the labels that the hash tables retrieve")
    add_setting(parser, "threads")
    add_class_arguments(parser)


def run(options):
    network = Network.load(options.model, **given_settings(options, ["threads"]), **given_classes(options))
    X, Y = load_xmc(options.test)
    check_shape(options.test, network, X, Y)
    propensities = metrics.propensities(load_xmc(options.train)[1]) if options.train else None
    if options.sampled:
        network.rehash()
    result = network.evaluate(X, Y, sampled=options.sampled, propensities=propensities)
    for name, value in result.scores.items():
        print(f"{name:<7} {value:.4f}")
    print(f"active  {result.active:.1f}")


def check_shape(path, network, X, Y=None):
    if X.shape[1] != network.n_features:
        raise ValueError(f"{path}: found {X.shape[1]} features, expected {network.n_features} as in the network")
    if Y is not None and Y.shape[1] != network.n_labels:
        raise ValueError(f"{path}: found {Y.shape[1]} labels, expected {network.n_labels} as in the network")
