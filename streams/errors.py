"""Errors of the moving floor: whose fault, and what next.

    StreamError
    |- Transient              an outage: try the same again after a while
    |  |- LogRefused          the log wrote nothing
    |  |  |- DiskReserve      the disk is nearly full: only readings, source states and alert events are taken
    |  |  `- PartitionLost    the partition went to another worker, or may have; nothing was written
    |  |- LogOutcomeUnknown   the log may or may not have written: try again with the same ids
    |  |- LogUnavailable      the log cannot be read
    |  |- SeriesUnavailable   the series cannot be reached
    |  |- SourceUnreachable   the glucose source did not answer, or asked to be left alone for a while
    |  |- NotifierUnreachable the notifier did not answer, or asked to be left alone for a while
    |  `- ArchiveUnavailable  the archive cannot be reached
    |     `- ArchiveChanged   a merge or another writer was at work in it: look again
    |- Permanent              this record can never be handled: dead letter
    |- SourceRefused          the source refuses the account: no retry before its policy allows one
    |- NotifierRefused        the notifier refuses the account, the topic or the message: say so loudly
    |- CopyFailed             a copy of the log does not agree with it, or cannot be made
    |- ArchiveDamaged         an object of the archive is missing, cut, swapped or flipped
    `- FailedPrecondition     what was asked for cannot be done as things are; the sentence says what to do first
       |- Misconfigured       a setting or an option is wrong; the sentence names it
       |- InUse               another process is at work on it, or work on it was interrupted
       |- AlreadyExists       something is there that is never overwritten
       `- NotFound            a log, a folder, a file or a person that was named is not there

Any other exception is a bug: the role that raised it is rebuilt and replays.
"""


class StreamError(Exception):
    """Anything this floor raises on purpose."""


class Transient(StreamError):
    """An outage. `retry_after_s` is set where the other side named a time."""

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class LogRefused(Transient):
    """The log wrote nothing."""


class DiskReserve(LogRefused):
    """The disk is nearly full; what is left is kept for readings and alarms."""


class PartitionLost(LogRefused):
    """The partition went to another worker, or may have gone: nothing was written, and its new owner will write it."""


class LogUnavailable(Transient):
    """The log cannot be read."""


class LogOutcomeUnknown(Transient):
    """The log may or may not have written; only the same ids may be tried again."""


class SeriesUnavailable(Transient):
    """The series cannot be reached."""


class SourceUnreachable(Transient):
    """The glucose source did not give an answer that can be used."""


class NotifierUnreachable(Transient):
    """The notifier did not give an answer that can be used; the message may have been delivered."""


class ArchiveUnavailable(Transient):
    """The archive cannot be reached."""


class ArchiveChanged(ArchiveUnavailable):
    """Objects that were named a moment ago are not there any more: somebody merges, or writes. Looking again finds what
    is true.
    """


class Permanent(StreamError):
    """A record that can never be handled."""


class SourceRefused(StreamError):
    """The source refuses the account. `kind`: rejected, locked_out or misconfigured."""

    def __init__(self, message: str, *, kind: str) -> None:
        super().__init__(message)
        self.kind = kind


class NotifierRefused(StreamError):
    """The notifier refuses. `code` is ntfy's five-digit code where it gave one; `final`: the message itself will never
    be taken, otherwise it is the account or the topic that is refused, and the message is taken once that is put right.
    """

    def __init__(self, message: str, *, code: int | None = None, final: bool = True) -> None:
        super().__init__(message)
        self.code, self.final = code, final


class ArchiveDamaged(StreamError):
    """An object of the archive is not what its manifest says; the sentence names it."""


class FailedPrecondition(StreamError):
    """What was asked for cannot be done as things are: trying again changes nothing. The sentence says why, and what to
    do first.
    """


class Misconfigured(FailedPrecondition):
    """A setting or an option is wrong; the sentence names it and says what to do."""


class InUse(FailedPrecondition):
    """Another process is at work on what was asked for, or work on it was interrupted and must be ended first."""


class AlreadyExists(FailedPrecondition):
    """Something is there already that is never overwritten."""


class NotFound(FailedPrecondition):
    """A log, a folder, a file or a person that was named is not there."""


class CopyFailed(StreamError):
    """A copy does not agree with the log it was made of, or cannot be made of it."""
