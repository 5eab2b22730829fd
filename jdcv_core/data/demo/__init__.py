"""The demo corpus: `latent` draws the truth, `text` writes it down, `generate` makes a Dataset."""
