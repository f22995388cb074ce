"""
Open files, shared by all who use them, and the readers of complete ones.
"""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from distributor.cache.disk import Disk
from distributor.model import IReader

#: How many complete files a store keeps open while nobody reads them.
MOST_SPARE = 1024


class OpenFile:
    """
    A descriptor with a count of its users. It stays open when the file is renamed or deleted.

    @ivar fd: the descriptor; only for C{pread} and C{pwrite}, as others use it too.
    @ivar lasting: whether it may stay open for those who come later, when its last user has gone.
    @ivar unused: fires, with L{None}, when the last user has gone. The descriptor is being closed then.
    """

    def __init__(self, object_id: str, fd: int, files: OpenFiles) -> None:
        self._files = files
        self._users = 1
        self.lasting = False
        self.object_id = object_id
        self.fd = fd
        self.unused: Deferred[None] = Deferred()

    def __repr__(self) -> str:
        return f"<OpenFile {self.object_id}: {self._users} users>"

    def acquire(self) -> None:
        """
        One user more.
        """
        if self._users == 0:
            raise RuntimeError(f"{self!r} is closed")
        self._users += 1

    def reuse(self) -> None:
        """
        The first user after the last one has gone, of a file that has stayed open.
        """
        assert self._users == 0, self
        self._users = 1

    def release(self) -> None:
        """
        One user less. To be called once for each L{acquire}, and once by the one who has opened it.
        """
        if self._users == 0:
            raise RuntimeError(f"{self!r} is closed")
        self._users -= 1
        if self._users == 0:
            self._files.unused(self)


class OpenFiles:
    """
    The open file of each object that has one.

    Some that nobody uses stay open, since opening one takes a thread; they are in nobody's way when they have to go.
    """

    _log = Logger()

    def __init__(self, disk: Disk, most_spare: int = 0) -> None:
        """
        @param most_spare: how many complete files stay open while nobody uses them.
        """
        self._disk = disk
        self._most_spare = most_spare
        self._files: dict[str, OpenFile] = {}
        # In the order in which their last users went.
        self._spare: dict[str, OpenFile] = {}
        self._opening: dict[str, list[Deferred[OpenFile]]] = {}

    def __contains__(self, object_id: object) -> bool:
        """
        Whether somebody uses the object's file, or is opening it.
        """
        return object_id in self._files or object_id in self._opening

    def get(self, object_id: str) -> OpenFile | None:
        """
        The file of an object that somebody uses, if there is one.
        """
        return self._files.get(object_id)

    def in_use(self) -> list[str]:
        """
        The ids of the objects whose files somebody uses.
        """
        return list(self._files)

    def open_now(self, object_id: str) -> OpenFile | None:
        """
        Share the file of an object, if it is open already; whoever gets it is one of its users.
        """
        file = self._files.get(object_id)
        if file is not None:
            file.acquire()
            return file
        file = self._spare.pop(object_id, None)
        if file is not None:
            self._files[object_id] = file
            file.reuse()
        return file

    def add(self, object_id: str, fd: int) -> OpenFile:
        """
        Take over a descriptor. The caller is the first user.
        """
        assert object_id not in self, object_id
        assert object_id not in self._spare, object_id
        file = self._files[object_id] = OpenFile(object_id, fd, self)
        return file

    def lend(self, object_id: str) -> int | None:
        """
        The descriptor of an object's file, if it is open already: for this very moment, without being one of its users.
        """
        file = self._files.get(object_id)
        if file is None:
            file = self._spare.pop(object_id, None)
            if file is None:
                return None
            self._spare[object_id] = file
        return file.fd

    def open(self, object_id: str, size: int) -> Deferred[OpenFile]:
        """
        Open a complete file of C{size} bytes, or share it; whoever gets it is one of its users. Cancelling concerns
        this caller alone.

        The Deferred fails with L{LookupError} when there is no such file, and with L{DiskFailed}.
        """
        file = self.open_now(object_id)
        if file is not None:
            return succeed(file)
        waiter: Deferred[OpenFile] = Deferred()
        waiters = self._opening.get(object_id)
        if waiters is not None:
            waiters.append(waiter)
            return waiter
        waiters = self._opening[object_id] = [waiter]
        opened = Deferred.fromCoroutine(self._disk.open(object_id, size))
        opened.addCallbacks(
            self._opened, self._not_opened, callbackArgs=(object_id, waiters), errbackArgs=(object_id, waiters)
        )
        opened.addErrback(lambda failure: self._log.failure("telling of an open file", failure))
        return waiter

    def _opened(self, fd: int, object_id: str, waiters: list[Deferred[OpenFile]]) -> None:
        if self._opening.get(object_id) is not waiters:
            self._close(fd)
            return
        del self._opening[object_id]
        file = self.add(object_id, fd)
        file.lasting = self._most_spare > 0
        for waiter in waiters:
            # Those who were cancelled have been called already.
            if not waiter.called:
                file.acquire()
                waiter.callback(file)
        file.release()

    def _not_opened(self, failure: Failure, object_id: str, waiters: list[Deferred[OpenFile]]) -> None:
        if self._opening.get(object_id) is waiters:
            del self._opening[object_id]
            self._refuse(waiters, failure)

    def _refuse(self, waiters: list[Deferred[OpenFile]], failure: Failure) -> None:
        for waiter in waiters:
            if not waiter.called:
                waiter.errback(failure)

    def forget(self, object_id: str) -> OpenFile | None:
        """
        The object has been deleted: whoever opens one of this id from now on gets another file, and who is opening it
        gets none.

        @return: the file that is still open, if any.
        """
        waiters = self._opening.pop(object_id, None)
        if waiters is not None:
            self._refuse(waiters, Failure(LookupError(f"object {object_id} has been evicted")))
        self.distrust(object_id)
        return self._files.pop(object_id, None)

    def distrust(self, object_id: str) -> None:
        """
        Something is wrong with the file of an object: whoever opens it when its users have gone, looks at it anew.
        """
        spare = self._spare.pop(object_id, None)
        if spare is not None:
            self._end(spare)
        used = self._files.get(object_id)
        if used is not None:
            used.lasting = False

    def close_spare(self) -> None:
        """
        Let go of all files that nobody uses.
        """
        for object_id in list(self._spare):
            self.distrust(object_id)
        self._most_spare = 0

    def unused(self, file: OpenFile) -> None:
        """
        The last user of C{file} has gone.
        """
        ours = self._files.get(file.object_id) is file
        if ours:
            del self._files[file.object_id]
        if not ours or not file.lasting or not self._most_spare:
            self._end(file)
            return
        self._spare[file.object_id] = file
        if len(self._spare) > self._most_spare:
            self._end(self._spare.pop(next(iter(self._spare))))

    def _end(self, file: OpenFile) -> None:
        self._close(file.fd)
        file.unused.callback(None)

    def _close(self, fd: int) -> None:
        closed = Deferred.fromCoroutine(self._disk.close(fd))
        # The descriptor is gone, whatever close() says.
        closed.addErrback(lambda failure: self._log.failure("closing a file", failure))


@implementer(IReader)
class StoredReader:
    """
    One answer's view of a complete object.
    """

    def __init__(self, file: OpenFile, size: int) -> None:
        """
        @param file: of which this is to be a user, and in whose stead it lets go.
        """
        self._file = file
        self._closed = False
        self.size = size
        self.fd = file.fd
        self.had_early = (0, b"")

    def available(self, offset: int) -> int:
        return 0 if self._closed else max(0, self.size - offset)

    def early(self, offset: int, length: int) -> bytes:
        return b""

    def wait(self, offset: int) -> Deferred[None]:
        # Nothing that is not there already will ever come; at the end of an object, there is nothing to wait for.
        return fail(CancelledError()) if self._closed else succeed(None)

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._file.release()
