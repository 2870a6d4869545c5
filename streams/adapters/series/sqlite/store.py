"""Versions of the Series as SQLite files in the data folder; `streams/storage/versions.py` says which one serves."""

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from streams.adapters.series.sqlite.series import SqliteSeries
from streams.ports.series import SeriesExamination, SeriesVersion
from streams.storage.versions import current, flip, readable, remove, series_path


class SqliteStore:
    """The `SeriesStore` port for one data folder and log."""

    look_s = 0.5

    def __init__(self, data: Path, log_id: str) -> None:
        self._data, self._log_id = data, log_id

    async def ready(self, known: SeriesVersion | None = None) -> SeriesVersion:
        """See `SeriesStore.ready`. Opening makes the file."""
        del known
        return await self.serving()

    async def serving(self) -> SeriesVersion:
        """See `SeriesStore.serving`."""
        return SeriesVersion(current(self._data).series)

    async def open(self, version: SeriesVersion) -> SqliteSeries:
        """See `SeriesStore.open`. A damaged file is set aside and made anew."""
        path = series_path(self._data, version.number)
        return readable(lambda: SqliteSeries(path, self._log_id), path)

    async def make(self) -> tuple[SeriesVersion, SqliteSeries]:
        """See `SeriesStore.make`."""
        version = SeriesVersion(current(self._data).series + 1)
        await self.remove(version)
        return version, SqliteSeries(series_path(self._data, version.number), self._log_id)

    async def serve(self, version: SeriesVersion) -> None:
        """See `SeriesStore.serve`."""
        flip(self._data, replace(current(self._data), series=version.number))

    async def check(self) -> None:
        """See `SeriesStore.check`: a file on this machine."""

    async def examine(self) -> SeriesExamination | None:
        """See `SeriesStore.examine`: there is no server."""
        return None

    async def forget_logs(self, log_ids: Collection[str]) -> list[str]:
        """See `SeriesStore.forget_logs`: a version of another log is no version of this one, and an erasure deletes the
        files.
        """
        del log_ids
        return []

    async def holding(self, person: str) -> list[str]:
        """See `SeriesStore.holding`: nothing is kept beside the version that serves."""
        del person
        return []

    async def remove(self, version: SeriesVersion) -> None:
        """See `SeriesStore.remove`. Whoever has the file open keeps it until it is closed."""
        remove(self._data, series_path(self._data, version.number))

    async def close(self) -> None:
        """See `SeriesStore.close`."""
