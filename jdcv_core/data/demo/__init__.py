"""The demo corpus: `latent` is its truth, `text` its words, `corpus` the Dataset made of both."""
