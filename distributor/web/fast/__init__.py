"""
The short way: plain requests for assets, past C{Request}, Klein and Werkzeug.

It decides nothing of HTTP. A head is plain, or it is not, and then the ordinary way takes it from the first byte. What
is on the disk, or on its way with the first bytes there, is answered with heads that are made once, out of the same
functions as all others; what is not, by the same L{Assets<distributor.web.asset.Assets>} as in the ordinary way.
"""
