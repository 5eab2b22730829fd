"""Contrastive pretraining makes the representations of matching documents similar.

`known_fits` decides which documents are compared, `contrastive_losses` computes the loss, and
`gradient_caching` fits a batch of thousands into the memory of a small device.
"""
