"""Training: pairs as tensors (`pairs`), modules to train (`trainable`), the loop over them (`loop`)."""
