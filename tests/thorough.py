"""Set the number of examples of a property: few by default, ten times as many on request."""

import os

THOROUGH = os.environ.get("JDCV_TESTS") == "thorough"


def examples(number: int) -> int:
    """Return `number`, or ten times as many under `make test-thorough`."""
    return 10 * number if THOROUGH else number
