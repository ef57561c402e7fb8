"""The documentation as a site: `make docs`. Sources are the pages where they are, README and changelog among them."""

from importlib.metadata import version as version_of

from pygments.lexers.special import TextLexer
from sphinx.highlighting import lexers

# The kinds of files that the pages show, which are plain text to Pygments.
lexers |= {"txt": TextLexer(), "csv": TextLexer()}

project = "SimLoss"
author = "the SimLoss authors"
release = version = version_of("simloss")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
root_doc = "docs/index"
include_patterns = [
    "docs/*.md",
    "docs/*.png",
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "data/LICENSES.md",
    "examples/PLAN.md",
]
# Links to headings are those that GitHub makes.
myst_heading_anchors = 4
html_theme = "furo"
html_title = f"SimLoss {release}"
html_static_path: list[str] = []
# Two classes have an attribute `share`, so that Sphinx finds the parameter of that name ambiguous.
suppress_warnings = ["ref.python"]
# In the docstrings a single backtick marks code.
default_role = "code"
napoleon_google_docstring = False
napoleon_use_ivar = True
napoleon_preprocess_types = False
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {"members": True, "show-inheritance": False}
