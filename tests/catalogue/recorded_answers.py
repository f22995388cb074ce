"""
Answers of query nodes of both generations, as they are on the wire, beside what was asked: C{recorded/*.json}.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from distributor.catalogue.dialect import Dialect
from distributor.catalogue.facts import Generation, Question
from distributor.catalogue.hydra import HYDRA
from distributor.catalogue.squid import SQUID, VERSION

DIALECTS = (SQUID, HYDRA)


def recorded(generation: Generation) -> dict[str, list[dict[str, Any]]]:
    """
    By operation: what was C{asked}, the C{answer}, and its C{status}, where that is not 200.
    """
    path = Path(__file__).with_name("recorded") / f"{generation.value}.json"
    document: dict[str, list[dict[str, Any]]] = json.loads(path.read_text(encoding="utf-8"))
    return document


def question(dialect: Dialect, operation: str, asked: dict[str, Any]) -> Question[Any]:
    """
    The question that a recorded answer is one to.
    """
    match operation:
        case "DataObject":
            return dialect.object(asked["object"])
        case "BucketsOfWorker":
            return dialect.buckets_of_worker(asked["worker"])
        case "Bags":
            return dialect.bags(asked["buckets"])
        case "Objects":
            return dialect.objects(asked["bags"])
        case "StorageNodes":
            return dialect.active_storage_nodes(asked["after"])
        case "State":
            assert dialect.state is not None
            return dialect.state
        case "Generation":
            return VERSION
        case _:
            raise AssertionError(operation)


def read(generation: Generation, operation: str, number: int = 0) -> Any:
    """
    What a recorded answer comes to.
    """
    [dialect] = [each for each in DIALECTS if each.generation is generation]
    record = recorded(generation)[operation][number]
    return question(dialect, operation, record["asked"]).read(record["answer"]["data"])
