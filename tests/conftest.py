"""Set-up for all tests: the shapes in simmatrix's annotations are enforced.

simloss is left out: `torch.compile` traces through it, and can't trace through the checks.
"""

# Before anything imports the package: what is imported already, the hook can't reach.
import jaxtyping

jaxtyping.install_import_hook("simmatrix", "beartype.beartype")
