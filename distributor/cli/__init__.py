"""
The command line of the operator: a program of its own, C{distributor}, which asks a running node over HTTP.

L{target} finds the node, L{client} asks it, L{looking} and L{doing} are the commands, L{views} and its neighbours show
the answers. May import C{config}, C{web.token} and C{model}, and is imported by nothing.
"""

from distributor.cli.program import main

__all__ = ["main"]
