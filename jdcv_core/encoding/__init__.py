"""Chunks in, chunk vectors out: models, pooling, batches, and the store of vectors."""
