"""Show what this build of slide is and what it runs on, or what a saved model is."""

import slide
from slide.cli.arguments import add_class_arguments, given_classes
from slide.machine.info import build_info


def add_arguments(parser):
    parser.add_argument("model", metavar="MODEL", nargs="?", help="a saved model")
    add_class_arguments(parser)


def run(options):
    if options.model:
        print(slide.load(options.model, **given_classes(options)))
        return
    for name, value in {"slide": slide.__version__, **build_info()}.items():
        text = ", ".join(map(str, value)) if isinstance(value, list) else value
        print(f"{name:<16} {text}")
