"""
What C{twistd storage-node} starts.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from twisted.application.service import IService
from twisted.internet.endpoints import quoteStringArgument
from twisted.python import usage

from distributor.devnet import storage_node_service
from distributor.service import CannotStart, why
from distributor.tap.program import ProgramOptions, Services, check_port


class StorageNode:
    """
    What C{twistd storage-node} starts.
    """

    class Options(ProgramOptions):
        """
        The options of C{twistd storage-node}.
        """

        program = "storage-node"
        synopsis = "--media DIR [--port N] [--rate BYTES_PER_S] [--delay MS] [--manifest OUT.yml]"
        longdesc = (
            "A storage node over a folder, for development, demos and tests, and for nothing else. A file named by a "
            "number, such as 7.mp4, has that number as its id; the others are numbered in the order of their names."
        )
        optParameters: ClassVar = [
            ["media", "m", None, "The folder; required."],
            ["port", "p", 3333, "TCP port.", int],
            ["interface", "i", "127.0.0.1", "Address to listen on."],
            ["rate", "r", None, "Bytes per second, for all its clients together; without it, as fast as can be.", int],
            ["delay", None, 0, "Milliseconds of silence before each file, as of a node that is far away.", int],
            ["manifest", None, None, "Where to write a manifest of the folder, for a distributor."],
        ]

        def postOptions(self) -> None:
            if self["media"] is None:
                raise usage.UsageError("--media DIR is required")
            if self["rate"] is not None and self["rate"] < 1:
                raise usage.UsageError("--rate: at least 1 byte per second")
            if self["delay"] < 0:
                raise usage.UsageError("--delay: 0 ms or more")
            check_port(self["port"])

    @staticmethod
    def makeService(options: StorageNode.Options) -> IService:
        """
        @raise CannotStart: the folder cannot be read, or the manifest not written.
        """
        from twisted.internet import reactor

        manifest = Path(options["manifest"]).absolute() if options["manifest"] else None
        description = f"tcp:{options['port']}:interface={quoteStringArgument(options['interface'])}"
        services = Services("storage-node")
        try:
            node = storage_node_service(
                reactor, Path(options["media"]), description, options["rate"], manifest, options["delay"] / 1000
            )
        except (OSError, ValueError) as error:
            raise CannotStart(f"storage-node: {why(error)}") from None
        node.setServiceParent(services)  # type: ignore[no-untyped-call]
        return services
