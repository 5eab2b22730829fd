"""Training: pairs as tensors (`pairs`), what is trained on them (`trainable`), the loop (`loop`)."""
