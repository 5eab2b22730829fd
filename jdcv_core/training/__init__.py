"""Training: pairs as tensors (`pairs`), what is trained on them (`trainable`), and the `loop`."""
