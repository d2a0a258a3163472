"""Print the best labels of every row of a data file, as label:score, best first; by name where --like has names."""

import sys

from slide.cli import files
from slide.cli.arguments import add_class_arguments, add_setting, positive_int


def add_arguments(parser):
    parser.add_argument("model", metavar="MODEL", help="a model that train saved, or a `save` from Python")
    parser.add_argument("--input", required=True, metavar="FILE", help=f"{files.DATA}; its labels are not read")
    files.add_like_argument(parser)
    files.add_reading_arguments(parser)
    parser.add_argument("--top-k", type=positive_int, default=5, metavar="K", help="labels per row (default 5)")
    parser.add_argument("--sampled", action="store_true", help="only labels that the hash tables retrieve")
    add_setting(parser, "threads")
    add_class_arguments(parser)


def run(options):
    model = files.load_model(options)
    like = files.read_file(options.like, options) if options.like else None
    data = files.read_file(options.input, options, files.like_network(model, like, labels=False), need_labels=False)
    print(files.describe(data), file=sys.stderr)
    names = like.vocabulary.labels if like and like.vocabulary else range(model.n_labels)
    how = {"sampled": True} if options.sampled else {}
    ids, values = model.predict(data.X, k=options.top_k, **how)
    for row, scores in zip(ids, values, strict=True):
        found = (f"{names[label]}:{score:.4f}" for label, score in zip(row, scores, strict=True) if label >= 0)
        sys.stdout.write(" ".join(found) + "\n")
