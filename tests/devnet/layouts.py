"""
A layout to look at, with no files behind it.
"""

from __future__ import annotations

from pathlib import Path

from distributor.devnet.generated_media import MIB
from distributor.devnet.layout import NUMBER_OF_PORTS, Layout, Ports
from tests.devnet.sample_network import data_object


def layout(from_manifest: bool = False) -> Layout:
    """
    Eight objects, and ports from 4000 on.
    """
    return Layout(
        directory=Path("/devnet"),
        ports=Ports.from_numbers(range(4000, 4000 + NUMBER_OF_PORTS)),
        objects=tuple(data_object(str(number)) for number in range(1, 9)),
        from_manifest=from_manifest,
        storage_limit=96 * MIB,
    )
