"""Data files of the commands: options that say how to read them, and what was found in them."""

import sys

from scipy.sparse import csr_matrix

from slide import metrics
from slide.cli.arguments import given_classes, given_settings, of_kind
from slide.data import Data, read
from slide.data.reading import FORMATS, Expected
from slide.network import Network
from slide.prediction.loading import load
from slide.settings.checks import Number

DATA = "XMC, LibSVM or fastText text, compressed or not, or .npz; X,Y for features and labels in two files"

PSP = (
    "constant of the propensities of PSP@k; --psp-a and --psp-b are 0.6 and 2.6 for Amazon-670K and Amazon-3M, 0.5 and "
    "0.4 for WikiLSHTC-325K and Wikipedia-500K, 0.55 and 1.5 (where one is not given) for all others"
)


def add_reading_arguments(parser):
    parser.add_argument("--format", choices=FORMATS, help="format of the data, where its first line does not tell")
    one_based = parser.add_mutually_exclusive_group()
    for option, value in (("", True), ("-features", "features"), ("-labels", "labels")):
        help = f"{option.strip('-') or 'ids'} in the text count from 1"
        one_based.add_argument(
            f"--one-based{option}", dest="one_based", action="store_const", const=value, default=False, help=help
        )


def add_like_argument(parser):
    help = "the training data or its conversion: features and labels are as many, and the columns of text are its words"
    parser.add_argument("--like", metavar="FILE", help=help)


def add_psp_arguments(parser):
    parser.add_argument("--psp-a", type=of_kind(Number("[0, inf)")), metavar="A", help=PSP)
    parser.add_argument("--psp-b", type=of_kind(Number("(0, inf)")), metavar="B", help="see --psp-a")


def add_mask_argument(parser):
    help = "leave out the labels that a row has as features, where both are the same items in the same order"
    parser.add_argument("--mask-seen", action="store_true", help=help)


def mask_seen(options, data: Data) -> bool:
    """Whether --mask-seen was given. Raises ValueError where the names in a vocabulary say that it has no meaning."""
    words = data.vocabulary
    if options.mask_seen and words and words.words != words.labels:
        raise ValueError(f"--mask-seen: found words and labels of other names in {data.path}, expected the same items")
    return options.mask_seen


def read_file(path, options, like=None, need_labels=True) -> Data:
    """The data in a file; what looks odd in it goes to stderr."""
    data = read(path, like=like, format=options.format, one_based=options.one_based, need_labels=need_labels)
    for note in data.notes:
        print(f"note: {note}", file=sys.stderr)
    return data


def describe(*files: Data) -> str:
    """What was read, in one line."""
    return "read " + "; ".join(f"{data.path} ({data.kind})" for data in files)


def load_model(options):
    """The model of a command that predicts; with --sampled its hash tables are as its weights, or as it was frozen."""
    model = load(options.model, **given_settings(options, ["threads"]), **given_classes(options))
    if options.sampled:
        if not isinstance(model, Network):
            raise ValueError(
                f"--sampled: found with {options.model}, which is {type(model).__name__}, expected with a Network: an "
                "Ensemble or a Mixed scores all labels"
            )
        if not model.frozen:
            model.rehash()
    return model


def like_network(network, like: Data | None = None, labels=True) -> Data:
    """The shape that a network expects of data, and the vocabulary of `like`."""
    Y = csr_matrix((0, network.n_labels)) if labels else None
    return Data(csr_matrix((0, network.n_features)), Y, "the network", "", (), like.vocabulary if like else None)


def check_fits(data: Data, network):
    """Raises ValueError where data has other numbers of features and labels than a network."""
    Expected.of(like_network(network), None, None).check(data)


def propensities(options, Y_train):
    """Of each label, by the constants of `options`; where only one is given, the other has its default."""
    given = {"A": options.psp_a, "B": options.psp_b}
    return metrics.propensities(Y_train, **{name: value for name, value in given.items() if value is not None})
