"""The older Go program, as far as somebody who moves away from it meets it: its buckets in InfluxDB, filled in its
layout, and its API.
"""

import base64
import json
import ssl
import threading
from collections.abc import Iterable
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.servers.influx import Influx

BUCKETS = ("iv3_glucose", "iv3_insulin", "iv3_carb", "iv3_events")


def make_buckets(influx: Influx) -> None:
    """As the older program makes them when it starts."""
    for name in BUCKETS:
        influx.ask("POST", "/api/v2/buckets", {"orgID": influx.org_id, "name": name, "retentionRules": []})


def write(influx: Influx, bucket: str, lines: Iterable[str]) -> None:
    """Line protocol, times in nanoseconds."""
    body = "\n".join(lines).encode()
    influx.ask("POST", f"/api/v2/write?precision=ns&bucket={bucket}&org={influx.org}", body)


def reading(time_s: float, value: float, trend: str = "Flat") -> str:
    return f"glucose value={value},trend={json.dumps(trend)} {round(time_s * 1e9)}"


def dose(time_s: int, units: int, insulin: str) -> str:
    return f"insulin,type={insulin} value={units}i {time_s * 10**9}"


def meal(time_s: int, grams: int) -> str:
    return f"carb value={grams}i {time_s * 10**9}"


USERNAME, PASSWORD = "retool", "a-password-of-tests"


class SeedProgram:
    """Its API over TLS on loopback, answering from its buckets as the running one did when `golden/seed_iv3_go.json`
    was recorded.
    """

    def __init__(self, influx: Influx, certificate: tuple[Path, Path] | None = None) -> None:
        program = self
        self.influx = influx

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, body = program.answer(self.path, self.headers.get("Authorization", ""))
                self.send_response(status)
                self.send_header("Content-Type", "text/plain; charset=utf-8")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.url = f"http{'s' if certificate else ''}://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """As `docker compose stop` does."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

    def answer(self, path: str, authorization: str) -> tuple[int, bytes]:
        """Status and body."""
        wanted = base64.b64encode(f"{USERNAME}:{PASSWORD}".encode()).decode()
        if authorization != f"Basic {wanted}":
            return 401, b"Unauthorized\n"
        parts = urlsplit(path)
        asked = parse_qs(parts.query)
        try:
            start, end = int(asked["start"][0]), int(asked["end"][0])
        except (KeyError, ValueError):
            return 200, b"unable to parse start/end\n"
        try:
            rows = self._rows(parts.path, start, end)
        except ValueError:
            return 200, b"unable to query the range\n"
        return 200, json.dumps(rows).encode() + b"\n"

    def _rows(self, path: str, start: int, end: int) -> list[dict[str, Any]]:
        bucket, what, more = {
            "/glucose": ("iv3_glucose", "glucose", ', "trend"'),
            "/insulin": ("iv3_insulin", "insulin", ', "type"'),
            "/carbs": ("iv3_carb", "carb", ""),
        }[path]
        found = self.influx.query(
            bucket, f'SELECT "value"{more} FROM "{what}" WHERE time >= {start}s AND time < {end}s ORDER BY time'
        )
        rows = []
        for time_ns, value, *text in found[0]["values"] if found else []:
            moment = datetime.fromtimestamp(time_ns // 10**9, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            if path == "/glucose":
                rows.append({"WT": "", "Value": value, "Trend": text[0], "Time": moment})
            elif path == "/insulin":
                rows.append({"Value": value, "Type": text[0], "Time": moment})
            else:
                rows.append({"Value": value, "Time": moment})
        return sorted(rows, key=lambda row: str(row.get("Type", "")))
