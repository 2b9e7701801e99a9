"""``python -m pipeline.weights lock-embedded``: pin the embedded models as they are now."""

from __future__ import annotations

import sys

from pipeline.weights.embedded import lock_embedded


def main(arguments: list[str]) -> int:
    """Run the one command there is; returns the exit code."""
    if arguments != ["lock-embedded"]:
        sys.stderr.write("usage: python -m pipeline.weights lock-embedded\n")
        return 2
    sys.stdout.write("".join(f"{line}\n" for line in lock_embedded()))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
