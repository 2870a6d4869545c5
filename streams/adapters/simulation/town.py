"""A town of simulated people behind one fake Dexcom Share: each has an account of their own, on one or several ports.

Several ports, because a server cannot see which worker asks: where each worker has a port of its own, `asked` tells who
asked for whom, and when.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any

from aiohttp import web

from processors.simulated_person import simulate
from streams.adapters.simulation.share_server import ShareServer, serve_share

PASSWORD = "demo"  # noqa: S105 - there is nothing behind it
AHEAD_MS = 2 * 86_400_000
BEFORE_MS = 86_400_000


def account_names(people: int) -> list[str]:
    """p0001, p0002, …: the accounts, and the ids that the people have in iv3."""
    return [f"p{number + 1:04}" for number in range(people)]


class ShareTown:
    """`people` accounts whose lives begin a day before now. A life is simulated when it is first asked for, and
    prolonged as time goes on.
    """

    def __init__(self, people: int, *, now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms
        self._begun_ms = now_ms() - BEFORE_MS
        self._seeds = {name: number + 1 for number, name in enumerate(account_names(people))}
        self._homes: dict[str, ShareServer] = {}
        self._until_ms: dict[str, int] = {}
        self._ids: dict[str, str] = {}  # account id or session id -> account
        self._runners: list[web.AppRunner] = []
        self.asked: list[tuple[str, int, int]] = []  # (account, port, when): one for each read

    def home(self, account: str) -> ShareServer | None:
        """The server of one account, with readings a good way ahead; None where there is no such account."""
        seed = self._seeds.get(account.lower())
        if seed is None:
            return None
        now = self._now_ms()
        home = self._homes.get(account)
        if home is None:
            home = self._homes[account] = ShareServer([], now_ms=self._now_ms, username=account, password=PASSWORD)
            self._ids[home.account_id] = account
        until = self._until_ms.get(account, 0)
        if now > until - AHEAD_MS // 2:
            self._until_ms[account] = now + AHEAD_MS
            life = simulate(seed, self._begun_ms, now + AHEAD_MS)  # a longer life begins with the shorter one
            home.extend(event for event in life if event.time_ms >= until)
        return home

    async def start(self, port: int = 0, host: str = "127.0.0.1") -> str:
        """Listen on one more port; the base URL for clients. Raises OSError if the address cannot be had."""
        runner, url = await serve_share(self._hear, host, port)
        self._runners.append(runner)
        return url

    async def stop(self) -> None:
        """Close every port."""
        while self._runners:
            await self._runners.pop().cleanup()

    async def _hear(self, call: str, request: web.Request) -> web.StreamResponse:
        account = self._account(call, await request.text(), request.query)
        home = self.home(account)
        if home is None:  # one whom nobody knows answers as Share does
            home = ShareServer([], now_ms=self._now_ms, username="nobody", password="")
        elif call == "read" and request.transport is not None:
            self.asked.append((account, int(request.transport.get_extra_info("sockname")[1]), self._now_ms()))
        answer = await home.hear(call, request)
        if call == "log_in" and answer.status == 200 and isinstance(answer, web.Response):
            self._ids[json.loads(answer.text or '""')] = account
        return answer

    def _account(self, call: str, body: str, query: Any) -> str:  # noqa: ANN401 - a multidict of texts
        """Whose request it is, by the name or one of the ids in it; empty where nobody knows."""
        try:
            said = json.loads(body) if body else {}
        except ValueError:
            said = {}
        said = said if isinstance(said, dict) else {}
        if call == "read":
            return self._ids.get(next((v for k, v in query.items() if k.lower() == "sessionid"), ""), "")
        name = str(said.get("accountName", "")).lower()
        if not name and "accountId" in said and str(said["accountId"]) not in self._ids:
            self._ids.update(self._all_ids())
        return name or self._ids.get(str(said.get("accountId", "")), "")

    def _all_ids(self) -> Iterator[tuple[str, str]]:
        """After a restart clients come with ids of before."""
        for account in self._seeds:
            home = self.home(account)
            if home is not None:
                yield home.account_id, account
