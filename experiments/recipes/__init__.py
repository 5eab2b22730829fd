"""The readable main loops of work: match (train and compare scorers)."""
