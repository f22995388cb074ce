"""
A distributor node: the edge of a video network, between viewers and slow storage.
"""

__version__ = "0.1.0"
