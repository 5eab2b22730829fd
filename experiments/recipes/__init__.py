"""The main loops: match (train and compare scorers), retrieve (search and rerank), and sweep."""
