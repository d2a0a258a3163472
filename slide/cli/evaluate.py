"""Score a saved model on a data file."""

from slide.cli import files
from slide.cli.arguments import add_class_arguments, add_setting


def add_arguments(parser):
    parser.add_argument("model", metavar="MODEL", help="a model that train saved, or a `save` from Python")
    parser.add_argument("--test", required=True, metavar="FILE", help=files.DATA)
    parser.add_argument("--train", metavar="FILE", help="the training data, for PSP@k")
    files.add_psp_arguments(parser)
    files.add_like_argument(parser)
    files.add_reading_arguments(parser)
    parser.add_argument("--sampled", action="store_true", help="score only the labels that the hash tables retrieve")
    add_setting(parser, "threads")
    add_class_arguments(parser)


def run(options):
    if options.train is None and (options.psp_a, options.psp_b) != (None, None):
        raise ValueError("--psp-a, --psp-b: found no --train, expected the training data, of which PSP@k is computed")
    model = files.load_model(options)
    train = files.read_file(options.train, options) if options.train else None
    like = files.read_file(options.like, options) if options.like else train
    test = files.read_file(options.test, options, files.like_network(model, like))
    propensities = None
    if train:
        files.check_fits(train, model)
        propensities = files.propensities(options, train.Y)
    print(files.describe(test))
    how = {"sampled": True} if options.sampled else {}
    result = model.evaluate(test.X, test.Y, propensities=propensities, **how)
    for name, value in result.scores.items():
        print(f"{name:<7} {value:.4f}")
    print(f"active  {result.active:.1f}")
