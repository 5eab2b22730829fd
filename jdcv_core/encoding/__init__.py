"""Encode chunks as chunk vectors: models, pooling, batches, and the store of vectors."""
