"""How an encoder is pretrained by contrast."""

from __future__ import annotations

from dataclasses import dataclass

from jdcv_core.errors import InputError, nearest

OBJECTIVES = ("jd_to_cv", "cv_to_jd", "symmetric", "spans", "dropout")
MINED = ("none", "bm25", "self")


@dataclass
class PretrainSettings:
    """How an encoder is pretrained.

    objective:     jd_to_cv: each JD looks for its Good Fits among the batch's CVs; cv_to_jd;
                   symmetric: the mean of both; spans: two spans of one document look for each other
                   (NT-Xent), which needs no label; dropout: a chunk for itself under another
                   dropout (SimCSE), which needs `dropout` above 0
    potential:     weight of a Potential Fit as a positive, where a Good Fit has 1; 0: it is neither
                   positive nor negative
    documents:     in a batch, each once
    hard:          labelled No Fit CVs for each JD of the batch, where it has so many
    mined:         further CVs for each JD out of a window of its ranking, without its known fits
                   (`mining.runner_ups`): bm25, or self: by the encoder's own vectors, ranked again
                   at every look; none
    mined_each, mined_first, mined_last: how many, out of which ranks (0 is the best)
    dropout:       of the encoder while it is pretrained, wherever it has dropout layers
    chunks:        drawn from each document in each step; null: all
    steps:         updates
    temperature:   divides similarities; learned: it is trained, between 0.01 and 1
    width:         of the projection
    tuning:        full or lora: what of the encoder is trained
    learning_rate, warmup, weight_decay, clip: as in `TrainingSettings`
    precision:     fp32, bf16 (autocast) or auto
    look:          steps between two looks at validation pairs
    """

    objective: str = "symmetric"
    potential: float = 0.5
    documents: int = 128
    hard: int = 0
    mined: str = "none"
    mined_each: int = 1
    mined_first: int = 5
    mined_last: int = 30
    dropout: float = 0.0
    chunks: int | None = 1
    steps: int = 100
    temperature: float = 0.1
    learned: bool = False
    width: int = 128
    tuning: str = "full"
    learning_rate: float = 3e-4
    warmup: float = 0.1
    weight_decay: float = 0.01
    clip: float = 1.0
    precision: str = "auto"
    look: int = 20

    def check(self) -> None:
        """Raises InputError that names a setting out of its range."""
        for name, known in (
            ("objective", OBJECTIVES), ("tuning", ("full", "lora")),
            ("precision", ("auto", "fp32", "bf16")), ("mined", MINED),
        ):  # fmt: skip
            if getattr(self, name) not in known:
                value = getattr(self, name)
                cure = nearest(value, list(known))
                raise InputError(f"pretraining.{name}={value}", "it is unknown", cure)
        for name, least in (("documents", 4), ("steps", 1), ("look", 1), ("width", 1)):
            if getattr(self, name) < least:
                what = f"pretraining.{name}={getattr(self, name)}"
                raise InputError(what, "that is too little", f"give {least} or more")
        if not 0 <= self.mined_first < self.mined_last or self.mined_each < 1:
            what = f"ranks {self.mined_first} to {self.mined_last}, {self.mined_each} each"
            cure = "give mined_first below mined_last, and mined_each 1 or more"
            raise InputError("pretraining.mined", f"{what} is no window", cure)
        if not 0 <= self.dropout < 1 or (self.objective == "dropout" and self.dropout == 0):
            what = "without dropout the two views of a chunk are one"
            if self.objective != "dropout":
                what = "it is a share"
            raise InputError(f"pretraining.dropout={self.dropout}", what, "give 0.1")
        if 2 + self.hard + self.mined_each * (self.mined != "none") > self.documents:
            what = "one JD, its Good Fit and its hard negatives are more"
            raise InputError(f"pretraining.documents={self.documents}", what, "give more")
        if self.chunks is not None and self.chunks < 1:
            what = f"pretraining.chunks={self.chunks}"
            raise InputError(what, "that is too little", "give 1 or more, or null")
        if not 0.01 < self.temperature < 1:
            what = f"pretraining.temperature={self.temperature}"
            raise InputError(what, "it is out of range", "give more than 0.01 and less than 1")
