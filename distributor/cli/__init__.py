"""
The command line of the operator: a program of its own, C{distributor}, which asks a running node over HTTP.

L{target} finds the node, and L{client} asks it. May import C{config}, C{web.token} and C{model}, and is imported by
nothing.
"""
