"""``python -m losssearch``: the command line."""

import sys

from losssearch.cli.app import main

if __name__ == "__main__":
    sys.exit(main())
