"""The replies of an ntfy server: its error table, and JSON as it writes it."""

import json

from aiohttp import web

ERRORS: dict[int, tuple[str, str | None]] = {
    40004: ("invalid delay parameter: unable to parse delay", "publish/#scheduled-delivery"),
    40005: ("invalid delay parameter: too small, please refer to the docs", "publish/#scheduled-delivery"),
    40006: ("invalid delay parameter: too large, please refer to the docs", "publish/#scheduled-delivery"),
    40007: ("invalid priority parameter", "publish/#message-priority"),
    40008: ("invalid since parameter", "subscribe/api/#fetch-cached-messages"),
    40009: ("invalid request: topic invalid", None),
    40014: ("invalid request: attachments not allowed", "config/#attachments"),
    40018: ("invalid request: actions invalid; only 3 actions allowed", "publish/#action-buttons"),
    40024: ("invalid request: request body must be valid JSON", None),
    40049: ("invalid request: sequence ID invalid", "publish/#updating-deleting-notifications"),
    40101: ("unauthorized", "publish/#authentication"),
    40301: ("forbidden", "publish/#authentication"),
    40401: ("page not found", None),
    41303: ("JSON body too large", None),
    42901: ("limit reached: too many requests", "publish/#limitations"),
    42908: ("limit reached: daily message quota reached", "publish/#limitations"),
    42909: ("limit reached: too many auth failures", "publish/#limitations"),
    50001: ("internal server error", None),
    50701: ("insufficient storage", None),
}


class Refusal(Exception):
    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


def error_reply(code: int) -> web.Response:
    text, link = ERRORS[code]
    body = {"code": code, "http": code // 100, "error": text}
    if link:
        body["link"] = f"https://ntfy.sh/docs/{link}"
    return reply(body, code // 100)


def reply(body: object, status: int = 200) -> web.Response:
    content = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
    return web.Response(status=status, body=content, headers={"Content-Type": "application/json"})
