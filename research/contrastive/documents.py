"""Compute the representations that a contrastive loss compares, each document once."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from jdcv_core.encoding.encoder import Encoder
from jdcv_core.training.distributed import rank, world
from research.contrastive.contrastive_losses import TILE, Temperature, contrastive_loss
from research.contrastive.gradient_caching import cached_step, plain_step
from research.contrastive.known_fits import Contrast

Tokens = Sequence[int]


@dataclass(frozen=True)
class Rows:
    """The chunks of some documents, cut into micro-batches.

    micro_batches: token ids of chunks of similar length; together they have every chunk once
    owner:         int [chunk], the document of each chunk, in the order of the micro-batches
    documents:     number of documents
    """

    micro_batches: list[list[Tokens]]
    owner: Tensor
    documents: int

    def own(self) -> list[list[Tokens]]:
        """Return this process's share of the micro-batches; process 0 has the first ones."""
        count, number = len(self.micro_batches), world()
        return self.micro_batches[count * rank() // number : count * (rank() + 1) // number]


class ContrastiveEncoder(nn.Module):
    """An encoder, a projection and a temperature that are trained together.

        representation of a document = projection(mean of its chunk vectors)

    module:      the encoder's module in fp32 (`lora_tuning.trainable_module`); parameters with
                 `requires_grad` are trained
    encoder:     defines how tokens become vectors, the device, and the tokens of a micro-batch
    width:       output width of the projection, a linear map. Later stages use the encoder without
                 the projection (Chen et al. 2020, section 4.2)
    temperature: fixed or learned
    bf16:        run the encoder under autocast; weights and representations stay fp32
    """

    def __init__(
        self,
        module: nn.Module,
        encoder: Encoder,
        width: int = 128,
        temperature: Temperature | None = None,
        bf16: bool = False,
    ) -> None:
        super().__init__()
        self.module, self.encoder, self.bf16 = module, encoder, bf16
        self.projection = nn.Linear(encoder.dim, width, bias=False)
        self.temperature = temperature or Temperature()
        self.to(encoder.device)

    def rows(self, documents: Sequence[Sequence[Tokens]], at_least: int = 1) -> Rows:
        """Group the chunks of documents [document][chunk][token] by length into micro-batches.

        Each has at most the encoder's `batch_tokens` tokens, padding included. There are at least
        `at_least` micro-batches. Raises ValueError if there are fewer chunks than that.
        """
        chunks = [chunk for document in documents for chunk in document]
        owner = [at for at, document in enumerate(documents) for _ in document]
        special = len(self.encoder.network.prefix) + len(self.encoder.network.suffix)
        batches = self.encoder.batches([len(chunk) + special for chunk in chunks])
        while len(batches) < at_least:
            longest = max(range(len(batches)), key=lambda at: len(batches[at]))
            half = len(batches[longest]) // 2
            if not half:
                raise ValueError(f"{len(chunks)} chunks are too few for {at_least} micro-batches")
            batches[longest : longest + 1] = [batches[longest][:half], batches[longest][half:]]
        order = [i for batch in batches for i in batch]
        return Rows(
            [[chunks[i] for i in batch] for batch in batches],
            torch.tensor([owner[i] for i in order], device=self.encoder.device),
            len(documents),
        )

    def encode(self, chunks: Sequence[Tokens]) -> Float[Tensor, "chunk dim"]:
        """Compute the chunk vectors of one micro-batch."""
        ids, mask, own = self.encoder.rows(chunks)
        kind = torch.device(self.encoder.device).type
        with torch.autocast(kind, torch.bfloat16) if self.bf16 else nullcontext():
            return self.encoder.network.vectors(self.module, ids, mask, own).float()

    def represent(
        self, vectors: Float[Tensor, "chunk dim"], rows: Rows
    ) -> Float[Tensor, "document width"]:
        """Project the mean of each document's chunk vectors."""
        sums = vectors.new_zeros(rows.documents, vectors.shape[1])
        sums = sums.index_add(0, rows.owner, vectors)
        counts = torch.bincount(rows.owner, minlength=rows.documents)
        return self.projection(sums / counts[:, None])

    def step(
        self,
        documents: Sequence[Sequence[Tokens]],
        contrasts: Contrast | Sequence[Contrast],
        cached: bool = True,
        tile: int = TILE,
    ) -> float:
        """Add the gradient of the contrastive loss of a batch; return the loss, in nats.

        documents: documents of the batch, each once; row i of a contrast stands for documents[i]
        contrasts: one contrast, or several (JD→CV and CV→JD), whose losses are averaged
        cached:    use `gradient_caching.cached_step`, which needs the memory of one micro-batch;
                   False means the plain step

        With several processes, each encodes its share of the micro-batches; the mean of their
        gradients (`distributed.average_gradients`) equals the gradient of one process.
        """
        rows = self.rows(documents, at_least=world())
        several = [contrasts] if isinstance(contrasts, Contrast) else contrasts
        compared = [contrast.to(self.encoder.device) for contrast in several]

        def loss_of(vectors: Tensor) -> Tensor:
            z, t = self.represent(vectors, rows), self.temperature()
            losses = [contrastive_loss(z, contrast, t, tile) for contrast in compared]
            return torch.stack(losses).mean()

        how: Any = cached_step if cached else plain_step
        return how(self.encode, rows.own(), loss_of)
