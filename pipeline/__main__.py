"""`python -m pipeline`: see `pipeline.cli.main`."""

import sys

if __name__ == "__main__":
    try:
        from pipeline.cli.main import main

        main()
    except KeyboardInterrupt:
        sys.exit(130)
