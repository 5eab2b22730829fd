"""Records in, Documents and labelled pairs out; and their parting into train, validation, test."""
