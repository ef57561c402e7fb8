"""Builders: one module a kind of source, each with one function that returns raw similarities for a class list."""
