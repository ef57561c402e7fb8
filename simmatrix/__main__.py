"""`python -m simmatrix`: the command, for where its script is not on the path."""

from simmatrix.cli import main

main()
