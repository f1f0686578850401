"""`python -m pycontext` is the command line."""

import sys

from pycontext.cli import main

if __name__ == "__main__":
    sys.exit(main())
