"""Safe reads of files that may belong to another user: a limited size, and no file that blocks or acts when opened."""

import os

CHUNK = 65_536  # bytes per read beyond the size that a file had when it was opened
FILE_TYPE, REGULAR, DIRECTORY = 0o170000, 0o100000, 0o040000  # inode(7)


class NotRegularError(OSError):
    """Raised for a path that does not lead to a regular file."""


def read_regular(path: str, limit: int) -> tuple[bytes, os.stat_result]:
    """Read a regular file of at most `limit` bytes; return its bytes and its status.

    Raises OSError for every other path. The owner may be hostile: a FIFO blocks its reader, some devices act when they
    are opened, and a regular file can become either between the check and the open. O_NONBLOCK also covers a file that
    its owner has a lease on (fcntl(2)) and files like /proc/kmsg.
    """
    try:
        _require_regular(os.stat(path))
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except ValueError as error:  # a null byte
        raise OSError(str(error)) from None
    try:
        status = os.fstat(fd)
        _require_regular(status)
        if status.st_size > limit:  # a sparse file of gigabytes costs its owner nothing
            raise OSError(too_long(limit))
        return read_at_most(fd, limit, status.st_size + 1), status
    finally:
        os.close(fd)


def _require_regular(status: os.stat_result) -> None:
    kind = status.st_mode & FILE_TYPE
    if kind != REGULAR:
        raise NotRegularError("is a directory" if kind == DIRECTORY else "it is not a regular file")


def read_at_most(fd: int, limit: int, size: int = CHUNK) -> bytes:
    """Read to the end, `size` bytes at first. Raises OSError if there are more than `limit` bytes."""
    data = part = os.read(fd, size)
    while part:
        if len(data) > limit:
            raise OSError(too_long(limit))
        part = os.read(fd, CHUNK)
        data += part
    return data


def cure_of_unreadable(error: Exception) -> str:
    """Return what to do about a settings file that can't be read."""
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return "create it, or correct --config"
    if isinstance(error, PermissionError):
        return "let this user read it, or pass --config with another file"
    return "pass --config with a settings file"


def too_long(limit: int) -> str:
    """Return the reason why a file that is longer than `limit` bytes is not read."""
    return f"it is longer than {limit} bytes"
