"""A scorer that no package registers."""

from jdcv_core.scoring import MeanPairs


class Unregistered(MeanPairs):
    """The baseline under another name."""
