"""Damaged files of every format that is read: each is refused with a SimilarityError, or read as an oracle reads it."""
