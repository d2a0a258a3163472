"""Print the best labels of every row of a data file, as label:score, best first; by name where --like has names.

A score is a logit, with --probabilities a probability; of several networks the logarithm of their mean probability.
"""

import sys
from functools import partial

from slide.cli import files
from slide.cli.arguments import add_class_arguments, add_setting, of_kind, positive_int
from slide.settings.checks import Number


def add_arguments(parser):
    parser.add_argument("model", metavar="MODEL", help="a model that train saved, or a `save` from Python")
    parser.add_argument("--input", required=True, metavar="FILE", help=f"{files.DATA}; its labels are not read")
    files.add_like_argument(parser)
    files.add_reading_arguments(parser)
    parser.add_argument("--top-k", type=positive_int, default=5, metavar="K", help="labels per row (default 5)")
    parser.add_argument("--sampled", action="store_true", help="only labels that the hash tables retrieve")
    parser.add_argument("--recall", type=of_kind(Number("(0, 1]")), metavar="R", help="the share of the best K labels "
                        "that is to be found, by an index of all labels, at a fraction of the time; 1: all of them, "
                        "provably; what was measured is printed")  # fmt: skip
    parser.add_argument("--probabilities", action="store_true", help="scores are probabilities, of the softmax "
                        "over all labels")  # fmt: skip
    parser.add_argument("--threshold", type=of_kind(Number("[0, 1]")), metavar="P", help="with --probabilities, only "
                        "labels of at least this one")  # fmt: skip
    files.add_mask_argument(parser)
    add_setting(parser, "threads")
    add_class_arguments(parser)


def run(options):
    check_scores(options)
    model = files.load_model(options)
    like = files.read_file(options.like, options) if options.like else None
    data = files.read_file(options.input, options, files.like_network(model, like, labels=False), need_labels=False)
    print(files.describe(data), file=sys.stderr)
    names = like.vocabulary.labels if like and like.vocabulary else range(model.n_labels)
    ids, values = predictor(model, options)(data.X, k=options.top_k, mask_seen=files.mask_seen(options, data))
    for row, scores in zip(ids, values, strict=True):
        found = (f"{names[label]}:{score:.4f}" for label, score in zip(row, scores, strict=True) if label >= 0)
        sys.stdout.write(" ".join(found) + "\n")


def check_scores(options):
    """ValueError where options of the scores do not go together."""
    if options.threshold is not None and not options.probabilities:
        raise ValueError("--threshold: found no --probabilities, expected both")
    if options.recall is not None and (options.sampled or options.probabilities):
        other = "--sampled" if options.sampled else "--probabilities"
        raise ValueError(f"--recall: found {other}, expected one of them")
    if options.probabilities and options.sampled:
        raise ValueError("--probabilities: found --sampled, expected one of them: a probability takes all labels")


def predictor(model, options):
    """The method of the model that the options ask for."""
    if options.recall is not None:
        if not hasattr(model, "measured_recall"):
            raise ValueError(f"--recall: found a {type(model).__name__}, expected a network, which may have an index")
        found = model.measured_recall(options.top_k, options.recall)
        print(f"recall {found.recall:.4f} on {found.inputs:,} rows of training: {found.screened:,.0f} of "
              f"{model.n_labels:,} labels screened, {found.candidates:,} computed", file=sys.stderr)  # fmt: skip
        return partial(model.predict, recall=options.recall)
    if not options.probabilities:
        return partial(model.predict, sampled=True) if options.sampled else model.predict
    if not hasattr(model, "predict_proba"):
        raise ValueError(f"--probabilities: found a {type(model).__name__}, whose scores are none, expected a network")
    return partial(model.predict_proba, threshold=options.threshold or 0.0)
