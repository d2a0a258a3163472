"""Convert a data file to another format: IN is told by its content, OUT by the end of its name."""

import sys

from slide.cli.files import DATA, add_like_argument, add_reading_arguments, read_file
from slide.data import keeps_vocabulary, save

TARGET = (
    ".txt (XMC text) or .libsvm (no header, ids from 0), and then .gz, .xz, .bz2 or .zst; .npz, which keeps the words "
    "of text too; X.txt,Y.txt or X.npz,Y.npz for two files"
)


def add_arguments(parser):
    parser.add_argument("source", metavar="IN", help=DATA)
    parser.add_argument("target", metavar="OUT", help=TARGET)
    parser.add_argument("--to", choices=("xmc", "libsvm"), help="format of OUT, where its name does not tell")
    add_like_argument(parser)
    add_reading_arguments(parser)


def run(options):
    like = read_file(options.like, options) if options.like else None
    data = read_file(options.source, options, like)
    vocabulary = data.vocabulary if keeps_vocabulary(options.target) else None
    save(options.target, data.X, data.Y, vocabulary, options.to)
    sizes = f"{data.X.shape[0]:,} rows, {data.X.shape[1]:,} features, {data.Y.shape[1]:,} labels"
    print(f"{data.path} ({data.kind}): {sizes}; saved {options.target}")
    if data.vocabulary and not vocabulary:
        words = options.like or options.source
        print(f"note: {options.target} keeps no words: read other text with --like {words}", file=sys.stderr)
