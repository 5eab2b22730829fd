"""Settings of contrastive pretraining."""

from __future__ import annotations

from dataclasses import dataclass

from jdcv_core.errors import InputError, nearest

OBJECTIVES = ("jd_to_cv", "cv_to_jd", "symmetric", "spans", "dropout")
MINED = ("none", "bm25", "self")


@dataclass
class PretrainSettings:
    """Settings of how an encoder is pretrained.

    objective:     jd_to_cv contrasts each JD's Good Fits with the other CVs of the batch; cv_to_jd
                   does the same with sides exchanged; symmetric is the mean of both. spans
                   (NT-Xent) matches two spans of one document and needs no label. dropout (SimCSE)
                   matches a chunk with itself under other dropout and needs `dropout` above 0
    potential:     weight of a Potential Fit as a positive, where a Good Fit has 1; with 0 it is
                   neither positive nor negative
    documents:     number of documents in a batch; each is in it once
    hard:          number of labelled No Fit CVs for each JD of the batch, if it has so many
    mined:         ranking from which further negatives of each JD are drawn, without its known fits
                   (`mining.runner_ups`): bm25; self, by the encoder's vectors, computed again at
                   every validation; or none
    mined_each, mined_first, mined_last: number of mined CVs, and their ranks (0 is the best)
    dropout:       rate of the encoder's dropout layers in pretraining
    chunks:        number of chunks drawn from each document in each step; null means all
    steps:         number of updates
    temperature:   divides similarities; with learned=true it is trained, between 0.01 and 1
    width:         output width of the projection
    tuning:        full or lora: which weights of the encoder are trained
    learning_rate, warmup, weight_decay, clip: as in `TrainingSettings`
    precision:     fp32, bf16 (autocast) or auto
    look:          steps between two evaluations on validation pairs
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
        """Raise InputError that names a setting outside its range."""
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
                raise InputError(what, "it is too small", f"give {least} or more")
        if not 0 <= self.mined_first < self.mined_last or self.mined_each < 1:
            what = f"ranks {self.mined_first} to {self.mined_last}, {self.mined_each} each"
            cure = "give mined_first below mined_last, and mined_each 1 or more"
            raise InputError("pretraining.mined", f"{what} is not a window of ranks", cure)
        if not 0 <= self.dropout < 1 or (self.objective == "dropout" and self.dropout == 0):
            what = "without dropout the two views of a chunk are equal"
            if self.objective != "dropout":
                what = "it is a share"
            raise InputError(f"pretraining.dropout={self.dropout}", what, "give 0.1")
        if 2 + self.hard + self.mined_each * (self.mined != "none") > self.documents:
            what = "one JD, its Good Fit and its hard negatives are more documents"
            raise InputError(f"pretraining.documents={self.documents}", what, "give more")
        if self.chunks is not None and self.chunks < 1:
            what = f"pretraining.chunks={self.chunks}"
            raise InputError(what, "it is too small", "give 1 or more, or null")
        if not 0.01 < self.temperature < 1:
            what = f"pretraining.temperature={self.temperature}"
            raise InputError(what, "it is out of range", "give more than 0.01 and less than 1")
