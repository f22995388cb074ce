"""
A query node of either generation, over a L{Network}: GraphQL by HTTP, executed by graphql-core over the schema files
beside this one, so that a query that a real one would refuse is refused here.

C{python -m distributor.devnet.query_node NETWORK.json --generation squid --port N} runs one. Needs graphql-core (the
extra C{devnet}), and so is not imported by the package itself.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import define, frozen
from graphql import (
    DocumentNode,
    GraphQLError,
    GraphQLResolveInfo,
    build_schema,
    default_field_resolver,
    execute_sync,
    parse,
    validate,
)
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.interfaces import IListeningPort, IReactorTime
from twisted.internet.task import react
from twisted.logger import Logger, globalLogBeginner, textFileLogObserver
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site

from distributor.devnet.answers import Generation, root
from distributor.devnet.exchange import Exchange
from distributor.devnet.network import Network
from distributor.devnet.query_faults import HEALTHY, QueryFault
from distributor.devnet.service import NodeService, endpoint_url
from distributor.devnet.storage_node import QuietSite, send_json

#: Where queries go; a query node's endpoint is this whole URL.
PATH = "graphql"

#: How many queries are remembered: more than any test makes, and no leak in a node that runs for days.
REMEMBERED_QUERIES = 10_000

_log = Logger(namespace="distributor.devnet")


@define(eq=False)
class AskedQuery:
    """
    A query that has come.

    @ivar operation: the C{operationName}, if there was one.
    @ivar status: of the answer; L{None} until there is one, and where there is to be none.
    """

    query: str
    variables: Mapping[str, Any]
    operation: str | None
    status: int | None = None


@frozen
class QueryAnswer:
    """
    @ivar body: as JSON.
    """

    status: int
    body: Mapping[str, Any]


def _refused(*errors: GraphQLError) -> QueryAnswer:
    return QueryAnswer(400, {"errors": [error.formatted for error in errors]})


class Executor:
    """
    Answers queries; pure.
    """

    def __init__(self, generation: Generation) -> None:
        self.generation = generation
        path = Path(__file__).with_name(f"{generation.value}.graphql")
        self._schema = build_schema(path.read_text(encoding="utf-8"))

    def answer(self, network: Network, asked: AskedQuery, broken: frozenset[str] = frozenset()) -> QueryAnswer:
        """
        400 where the query is none of this schema's; else 200, and C{errors} where something went wrong.

        @param broken: names of fields that fail.
        """
        try:
            document: DocumentNode = parse(asked.query)
        except GraphQLError as error:
            return _refused(error)
        errors = validate(self._schema, document)
        if errors:
            return _refused(*errors)

        def resolve(source: Any, info: GraphQLResolveInfo[Any], **arguments: Any) -> Any:
            if info.field_name in broken:
                raise GraphQLError("This field was told to fail")
            return default_field_resolver(source, info, **arguments)

        result = execute_sync(
            self._schema,
            document,
            root(self.generation, network),
            variable_values=dict(asked.variables),
            operation_name=asked.operation,
            field_resolver=resolve,
        )
        return QueryAnswer(200, dict(result.formatted))


def parse_query(body: bytes) -> AskedQuery:
    """
    The body of a POST.

    @raise ValueError: it is none that a GraphQL server takes.
    """
    written = json.loads(body)
    if not isinstance(written, dict) or not isinstance(written.get("query"), str):
        raise ValueError('a query is a JSON object with the text "query"')
    variables, operation = written.get("variables"), written.get("operationName")
    if variables is None:
        variables = {}
    if not isinstance(variables, dict) or not isinstance(operation, str | None):
        raise ValueError('"variables" is an object, and "operationName" a text')
    return AskedQuery(written["query"], variables, operation)


class QueryNode:
    """
    A query node.

    @ivar network: may be replaced while the node runs.
    @ivar height: how far the node has come, where that is behind the network.
    @ivar fault: what to do wrong, until it is changed.
    @ivar next_faults: what to do wrong instead, once each.
    @ivar requests: the queries, from the oldest that is remembered to the newest.
    """

    def __init__(
        self, network: Network, generation: Generation, clock: IReactorTime, remember: int = REMEMBERED_QUERIES
    ) -> None:
        self.network = network
        self.height: int | None = None
        self.fault = HEALTHY
        self.next_faults: deque[QueryFault] = deque()
        self.requests: deque[AskedQuery] = deque(maxlen=remember)
        self._executor = Executor(generation)
        self._clock = clock

    @property
    def generation(self) -> Generation:
        """
        Which schema it has.
        """
        return self._executor.generation

    def resource(self) -> Resource:
        """
        The tree: C{/graphql}; and for who develops, C{PUT /fault}, C{PUT /network} and C{GET /queries}.
        """
        tree = Resource()
        tree.putChild(PATH.encode("ascii"), _Queries(self))
        tree.putChild(b"fault", _Fault(self))
        tree.putChild(b"network", _Chain(self))
        tree.putChild(b"queries", _Asked(self))
        return tree

    def site(self) -> Site:
        """
        The factory to listen with.
        """
        return QuietSite(self.resource(), reactor=self._clock)  # type: ignore[no-untyped-call]

    def serve(self, request: Exchange, body: bytes) -> None:
        """
        Answer a POST.
        """
        try:
            asked = parse_query(body)
        except ValueError as error:
            send_json(request, 400, {"errors": [{"message": f"Not a query in application/json: {error}"}]})
            return
        self.requests.append(asked)
        fault = self.next_faults.popleft() if self.next_faults else self.fault
        if fault.hang:
            return
        if fault.drop:
            request.channel.transport.abortConnection()
        elif fault.delay_s:
            later = self._clock.callLater(fault.delay_s, self._reply, request, asked, fault)
            request.notifyFinish().addErrback(lambda _: later.cancel() if later.active() else None)
        else:
            self._reply(request, asked, fault)

    def _reply(self, request: Exchange, asked: AskedQuery, fault: QueryFault) -> None:
        if fault.status is not None or fault.text is not None:
            asked.status = fault.status or 200
            page = f"<html><title>{asked.status}</title></html>\n" if fault.text is None else fault.text
            _send(request, asked.status, "text/html", page.encode("utf-8"))
            return
        network = self.network if self.height is None else self.network.at(self.height)
        answer = self._executor.answer(network, asked, fault.broken)
        asked.status = answer.status
        written = json.dumps(answer.body).encode("ascii") + b" " * fault.padding
        _send(request, answer.status, "application/json", written)


def _send(request: Exchange, status: int, type: str, body: bytes) -> None:
    request.setResponseCode(status)
    request.setHeader("Content-Type", type)
    request.setHeader("Content-Length", str(len(body)))
    request.write(body)
    request.finish()


class _Leaf(Resource):
    isLeaf = True

    def __init__(self, node: QueryNode) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._node = node


class _Queries(_Leaf):
    def render_POST(self, request: Any) -> int:
        type = (request.getHeader("content-type") or "").partition(";")[0].strip().lower()
        # Real ones take forms and plain texts for attempts to forge a request from a browser.
        body = request.content.read() if type == "application/json" else b""
        self._node.serve(request, body)
        return NOT_DONE_YET


class _Fault(_Leaf):
    """
    The node's fault, from outside of its process: C{{"status": 500}}, or C{{}} to heal it.
    """

    def render_PUT(self, request: Any) -> int:
        try:
            self._node.fault = QueryFault(**json.loads(request.content.read()))
        except (TypeError, ValueError) as error:
            send_json(request, 400, {"message": f"Not a fault: {error}"})
        else:
            send_json(request, 200, {})
        return NOT_DONE_YET


class _Chain(_Leaf):
    """
    Another network, as L{Network.document} writes it: time has passed on the chain.
    """

    def render_PUT(self, request: Any) -> int:
        try:
            self._node.network = Network.from_document(json.loads(request.content.read()))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            send_json(request, 400, {"message": f"Not a network: {error!r}"})
        else:
            send_json(request, 200, {})
        return NOT_DONE_YET


class _Asked(_Leaf):
    """
    How many queries have come, and what they asked.
    """

    def render_GET(self, request: Any) -> int:
        asked = [
            {"operation": each.operation, "variables": dict(each.variables), "status": each.status}
            for each in self._node.requests
        ]
        send_json(request, 200, {"queries": len(asked), "asked": asked})
        return NOT_DONE_YET


def query_node_service(reactor: Any, network: Network, generation: Generation, port: int) -> NodeService[QueryNode]:
    """
    A query node on a port of the loopback interface.

    @param port: 0 takes any that is free.
    """

    def announce(listening: IListeningPort) -> None:
        _log.info(
            "Query node ({generation}) for development at {url}{path}",
            generation=generation.value,
            url=endpoint_url(listening),
            path=PATH,
        )

    endpoint = TCP4ServerEndpoint(reactor, port, interface="127.0.0.1")
    return NodeService(QueryNode(network, generation, reactor), endpoint, announce)


def _run(reactor: Any, arguments: argparse.Namespace, network: Network) -> Deferred[None]:
    service = query_node_service(reactor, network, Generation(arguments.generation), arguments.port)
    reactor.addSystemEventTrigger("before", "shutdown", service.stopService)
    service.startService()
    # Until a signal comes.
    return Deferred()


def main(arguments: Sequence[str]) -> None:
    """
    Run a query node until it is told to stop.
    """
    parser = argparse.ArgumentParser(prog="python -m distributor.devnet.query_node", description=__doc__)
    parser.add_argument("network", type=Path, metavar="NETWORK.json", help="what the network consists of")
    parser.add_argument("--generation", choices=[each.value for each in Generation], default="squid")
    parser.add_argument("--port", type=int, default=0, help="on the loopback interface; 0 takes any that is free")
    options = parser.parse_args(arguments)
    network = Network.from_document(json.loads(options.network.read_text(encoding="utf-8")))
    globalLogBeginner.beginLoggingTo([textFileLogObserver(sys.stdout)], redirectStandardIO=False)
    react(_run, (options, network))


if __name__ == "__main__":
    main(sys.argv[1:])
