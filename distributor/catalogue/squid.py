"""
The questions as a Storage-Squid, the current generation of query nodes, wants them put.

Pure. Between bags and buckets stands a join type.
"""

from __future__ import annotations

from distributor.catalogue.dialect import Dialect
from distributor.catalogue.facts import LARGEST_PAGE, Generation, Question, State, StorageNodesPage
from distributor.catalogue.reading import WrongShape, count, known_storage_nodes, member, members, shown, whole

_OBJECT = """
query DataObject($id: String!) {
  storageDataObjectByUniqueInput(where: {id: $id}) {
    id
    size
    ipfsHash
    isAccepted
    type { __typename ... on DataObjectTypeVideoSubtitle { subtitle { mimeType } } }
    storageBag {
      id
      storageBuckets { storageBucket { id operatorStatus { __typename } operatorMetadata { nodeEndpoint } } }
      distributionBuckets { distributionBucket { id operators { workerId status } } }
    }
  }
}
"""

_BAGS = """
query Bags($buckets: [String!], $limit: Int!) {
  distributionBuckets(where: {id_in: $buckets}, limit: $limit) { id bags { bag { id } } }
}
"""

_OBJECTS = """
query Objects($bags: [String!], $limit: Int!) {
  storageBags(where: {id_in: $bags}, limit: $limit) { id objects { id } }
}
"""

_STORAGE_NODES = """
query StorageNodes($limit: Int!) {
  storageBuckets(where: {operatorStatus: {isTypeOf_eq: "StorageBucketOperatorStatusActive"}}, limit: $limit) {
    id
    operatorMetadata { nodeEndpoint }
  }
}
"""

_STATE = """
query State {
  squidVersion { version }
  squidStatus { height }
}
"""

_VERSION = """
query Generation {
  squidVersion { version }
}
"""


def _joined(name: str, field: str, value: object) -> list[object]:
    return [member(each, field) for each in members(value, name)]


def _storage_buckets(bag: object) -> list[object]:
    return _joined("storageBuckets", "storageBucket", bag)


def _distribution_buckets(bag: object) -> list[object]:
    return _joined("distributionBuckets", "distributionBucket", bag)


def _bags(bucket: object) -> list[object]:
    return _joined("bags", "bag", bucket)


def _version(data: object) -> str | None:
    found = member(data, "squidVersion")
    version = None if found is None else member(found, "version")
    if version is not None and not isinstance(version, str):
        raise WrongShape(f"version {shown(version)}")
    return None if version is None else version[:64]


def _state(data: object) -> State:
    status = member(data, "squidStatus")
    height = None if status is None else member(status, "height")
    return State(_version(data), None if height is None else count(height))


def _storage_nodes(data: object) -> StorageNodesPage:
    buckets = whole(members(data, "storageBuckets"), "storage buckets")
    return StorageNodesPage(known_storage_nodes(buckets), None)


def _ask_for_storage_nodes(after: str | None) -> Question[StorageNodesPage]:
    return Question("StorageNodes", _STORAGE_NODES, {"limit": LARGEST_PAGE}, _storage_nodes)


#: What only this generation has an answer to: its version.
VERSION: Question[str | None] = Question("Generation", _VERSION, {}, _version)

SQUID = Dialect(
    Generation.SQUID,
    _ask_for_storage_nodes,
    Question("State", _STATE, {}, _state),
    _OBJECT,
    _BAGS,
    _OBJECTS,
    _storage_buckets,
    _distribution_buckets,
    _bags,
)
