"""`python -m workers NAME [ARGUMENT ...]`: run one worker process, as the supervisor starts it."""

import sys

from workers.runtime.process import run

if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("usage: python -m workers NAME [ARGUMENT ...]")
    sys.exit(run(*sys.argv[1:]))
