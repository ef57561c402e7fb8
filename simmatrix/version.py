"""The version of the distribution, from its metadata: it is written down in one place, pyproject.toml."""

from importlib.metadata import version

__all__ = ["__version__"]

__version__ = version("simloss")
