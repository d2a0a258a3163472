"""The command line: python -m slide train | evaluate | predict | convert | info."""

import sys

from slide.cli import main

if __name__ == "__main__":
    sys.exit(main())
