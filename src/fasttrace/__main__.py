"""``python -m fasttrace``: the command line."""

from fasttrace.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
