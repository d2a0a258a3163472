"""Show what this build of slide is and what it runs on."""

import slide
from slide.machine.info import build_info


def add_arguments(parser):
    pass


def run(options):
    for name, value in {"slide": slide.__version__, **build_info()}.items():
        text = ", ".join(map(str, value)) if isinstance(value, list) else value
        print(f"{name:<16} {text}")
