"""Taxonomies: what they are, how they are read, and how similar their nodes are. Nothing here knows of classes."""
