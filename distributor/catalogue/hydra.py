"""
The questions as a Hydra query node, the older generation, wants them put.

Pure. Bags and buckets list one another plainly; lists without a limit end after 50.
"""

from __future__ import annotations

from distributor.catalogue.dialect import Dialect
from distributor.catalogue.facts import LARGEST_PAGE, Generation, Question, StorageNodesPage
from distributor.catalogue.reading import WrongShape, known_storage_nodes, member, members, shown

_OBJECT = """
query DataObject($id: ID!) {
  storageDataObjectByUniqueInput(where: {id: $id}) {
    id
    size
    ipfsHash
    isAccepted
    type { __typename ... on DataObjectTypeVideoSubtitle { subtitle { mimeType } } }
    storageBag {
      id
      storageBuckets { id operatorStatus { __typename } operatorMetadata { nodeEndpoint } }
      distributionBuckets { id operators { workerId status } }
    }
  }
}
"""

_BAGS = """
query Bags($buckets: [ID!], $limit: Int!) {
  distributionBuckets(where: {id_in: $buckets}, limit: $limit) { id bags { id } }
}
"""

_OBJECTS = """
query Objects($bags: [ID!], $limit: Int!) {
  storageBags(where: {id_in: $bags}, limit: $limit) { id objects { id } }
}
"""

_STORAGE_NODES = """
query StorageNodes($first: Int!, $after: String) {
  storageBucketsConnection(
    first: $first
    after: $after
    where: {operatorStatus_json: {isTypeOf_eq: "StorageBucketOperatorStatusActive"}}
  ) {
    edges { node { id operatorMetadata { nodeEndpoint } } }
    pageInfo { hasNextPage endCursor }
  }
}
"""


def _storage_buckets(bag: object) -> list[object]:
    return members(bag, "storageBuckets")


def _distribution_buckets(bag: object) -> list[object]:
    return members(bag, "distributionBuckets")


def _bags(bucket: object) -> list[object]:
    return members(bucket, "bags")


def _storage_nodes(data: object) -> StorageNodesPage:
    connection = member(data, "storageBucketsConnection")
    nodes = known_storage_nodes([member(edge, "node") for edge in members(connection, "edges")])
    info = member(connection, "pageInfo")
    if member(info, "hasNextPage") is not True:
        return StorageNodesPage(nodes, None)
    cursor = member(info, "endCursor")
    if not isinstance(cursor, str):
        raise WrongShape(f"endCursor is {shown(cursor)}")
    return StorageNodesPage(nodes, cursor)


def _ask_for_storage_nodes(after: str | None) -> Question[StorageNodesPage]:
    return Question("StorageNodes", _STORAGE_NODES, {"first": LARGEST_PAGE, "after": after}, _storage_nodes)


HYDRA = Dialect(
    Generation.HYDRA,
    _ask_for_storage_nodes,
    None,
    _OBJECT,
    _BAGS,
    _OBJECTS,
    _storage_buckets,
    _distribution_buckets,
    _bags,
)
