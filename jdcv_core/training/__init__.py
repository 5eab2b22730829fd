"""Training: labelled pairs as tensors (`pairs`) and the loop over them (`loop`)."""
