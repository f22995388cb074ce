"""
From storage nodes into files: what has arrived, what to ask for next, the shared download, and those who read it.

May import C{cache}, C{sources}, C{catalogue}, C{observe} and C{model}.
"""

from distributor.transfer.backlog import Backlog
from distributor.transfer.download import Download
from distributor.transfer.downloads import Downloads
from distributor.transfer.passage import HashLine, Passage, feed
from distributor.transfer.progress import Progress
from distributor.transfer.reader import DownloadReader, IDownloadReader
from distributor.transfer.verification import Checked, Verification, adopt

__all__ = [
    "Backlog",
    "Checked",
    "Download",
    "DownloadReader",
    "Downloads",
    "HashLine",
    "IDownloadReader",
    "Passage",
    "Progress",
    "Verification",
    "adopt",
    "feed",
]
