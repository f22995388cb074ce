"""
The short way to a hit: plain requests for what is on the disk, past C{Request}, Klein and Werkzeug.

It decides nothing of HTTP. A head is plain, or it is not, and then the ordinary way takes it from the first byte;
what is answered, and the fields of the answer, come from the same functions as there.
"""
