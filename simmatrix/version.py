"""The version of the distribution, from its metadata: it is written down in one place, pyproject.toml."""

from importlib.metadata import version

__version__ = version("simloss")
