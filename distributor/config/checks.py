"""
What no key can say of itself: what is missing, what does not go together, and what an operator should know.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from distributor.config.environment import PREFIX
from distributor.config.keys import KEYS
from distributor.config.layers import Placed
from distributor.observe.levels import OFF

_QUERY_NODES = ("endpoints.storageSquid", "endpoints.queryNode")
_MANIFEST = "catalogue.manifest"


def missing(values: Mapping[str, Placed], origin: str, *, catalogue: bool) -> Iterator[str]:
    """
    A line for each key that must be given and is not.

    @param origin: the file where one would write them.
    @param catalogue: whether it must be said where objects are listed.
    """
    for key in KEYS:
        if key.required and key.path not in values:
            yield f"{origin}: {key.path}: is required, and must be {key.kind.expected}"
    if catalogue and not {*_QUERY_NODES, _MANIFEST} & values.keys():
        yield (
            f"{origin}: {_QUERY_NODES[0]}: is required, and must be an http or https URL; or else give "
            f"{_QUERY_NODES[1]} or {_MANIFEST}"
        )


def contradictions(values: Mapping[str, Placed]) -> Iterator[str]:
    """
    A line for each thing that does not go together.
    """
    manifest = values.get(_MANIFEST)
    node = next((values[path] for path in _QUERY_NODES if path in values), None)
    if manifest is not None and node is not None:
        yield (
            f"{manifest.source}: {_MANIFEST}: excludes {node.spelling}, which {node.source} gives: objects are listed "
            "by a manifest or by a query node, not by both"
        )
    if "operatorApi.port" in values and "operatorApi.hmacSecret" not in values:
        source = values["operatorApi.port"].source
        yield f"{source}: operatorApi.hmacSecret: is required where operatorApi.port is given, and must be a secret"
    yield from _of_log_files(values)


def _of_log_files(values: Mapping[str, Placed]) -> Iterator[str]:
    path, older = values.get("logs.file.path"), values.get("directories.logs")
    # The environment overrides the file, in whichever generation either of them is written.
    if path is not None and older is not None and not (_is_variable(path) and not _is_variable(older)):
        yield f"{path.source}: {path.spelling}: excludes directories.logs, where older files have it"
    said = [placed for key, placed in values.items() if key.startswith("logs.file.")]
    is_off = "logs.file.level" in values and values["logs.file.level"].value == OFF
    if said and not is_off and path is None and older is None:
        yield f"{said[0].source}: logs.file.path: is required where {said[0].spelling} is given, and must be a path"


def notices(values: Mapping[str, Placed]) -> Iterator[str]:
    """
    A line for each thing that is valid, and not what one would expect, perhaps.
    """
    idle = [placed.spelling for key in KEYS if key.idle and (placed := values.get(key.path)) and placed.value != OFF]
    if idle:
        yield f"without an effect here: {', '.join(idle)}"
    for path in ("operatorApi.hmacSecret", "operatorApi.host"):
        if path in values and "operatorApi.port" not in values:
            yield f"{path} has no effect without operatorApi.port: there is no operator's API"


def _is_variable(placed: Placed) -> bool:
    return placed.source.startswith(PREFIX)
