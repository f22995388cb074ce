"""
The catalogue: answers "what is object 7, who stores it, is it ours?"; here from a manifest, a file that the operator
writes.

May import C{model}, C{observe}, and C{document} and C{schema} beside the model.
"""

from distributor.catalogue.manifest import (
    Entry,
    Manifest,
    ManifestError,
    load_manifest,
    parse_manifest,
)
from distributor.catalogue.manifest_catalogue import ManifestCatalogue

__all__ = [
    "Entry",
    "Manifest",
    "ManifestCatalogue",
    "ManifestError",
    "load_manifest",
    "parse_manifest",
]
