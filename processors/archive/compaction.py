"""Which small segments become one: those of a partition that begin on the same UTC day, once that day is over."""

from collections.abc import Iterator, Sequence

from processors.archive.chain import Link

DAY_MS = 86_400_000
_LEAST_AGE_MS = 600_000  # whoever writes is done with what is older, whatever held it up
_SPREAD_MS = 3_600_000
MOST_RECORDS = 50_000  # of one merged segment: what is read, checked and held in memory at once
MOST_BYTES = 32 * 1024 * 1024  # compressed, before merging


def delay_ms(log_id: str) -> int:
    """The delay after midnight at which a log's days are merged, milliseconds: always the same for one log, and seldom
    the same for two that share a server.
    """
    return _LEAST_AGE_MS + int(log_id[:8], 16) % _SPREAD_MS


def groups(links: Sequence[Link], now_ms: int, delay: int) -> Iterator[list[Link]]:
    """The runs of links to be merged, in order, each one as a whole. `links` follow the last merged day.

    A run is over when its day is, or when a later one has been there for as long: a clock that once stood in the future
    must not keep everything after it small for ever.
    """
    oldest_from = [0] * len(links)  # of this link and all later ones, the greatest age
    for number in range(len(links) - 1, -1, -1):
        later = oldest_from[number + 1] if number + 1 < len(links) else now_ms - links[number].manifest.last_ms
        oldest_from[number] = max(later, now_ms - links[number].manifest.last_ms)
    run: list[Link] = []
    records = size = 0
    for number, link in enumerate(links):
        manifest = link.manifest
        records, size = records + manifest.records, size + manifest.size
        if run and (_day(link) != _day(run[0]) or records > MOST_RECORDS or size > MOST_BYTES):
            if not _is_over(run, now_ms, delay) and oldest_from[number] < delay:
                return
            yield run
            run, records, size = [], manifest.records, manifest.size
        run.append(link)
    if run and _is_over(run, now_ms, delay):
        yield run


def _day(link: Link) -> int:
    return link.manifest.first_ms // DAY_MS


def _is_over(run: Sequence[Link], now_ms: int, delay: int) -> bool:
    midnight = (_day(run[0]) + 1) * DAY_MS
    return now_ms - max(midnight, run[-1].manifest.last_ms) >= delay
