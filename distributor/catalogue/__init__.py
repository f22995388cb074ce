"""
The catalogue: answers "what is object 7, who stores it, is it ours?", from a query node of either generation, or from a
manifest, a file that the operator writes.

May import C{model}, C{observe}, and C{document} and C{schema} beside the model.
"""

from distributor.catalogue.facts import Generation
from distributor.catalogue.interface import ICatalogue, Selection
from distributor.catalogue.manifest import (
    Entry,
    Manifest,
    ManifestError,
    load_manifest,
    parse_manifest,
)
from distributor.catalogue.manifest_catalogue import ManifestCatalogue
from distributor.catalogue.query_node_catalogue import QueryNodeCatalogue

__all__ = [
    "Entry",
    "Generation",
    "ICatalogue",
    "Manifest",
    "ManifestCatalogue",
    "ManifestError",
    "QueryNodeCatalogue",
    "Selection",
    "load_manifest",
    "parse_manifest",
]
