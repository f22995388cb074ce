"""
C{python -m distributor}: the command line of the operator, where its console script is not installed.
"""

from distributor.cli import main

if __name__ == "__main__":
    main(prog_name="python -m distributor")
