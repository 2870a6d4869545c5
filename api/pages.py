"""Pages: the dashboard, the sign-in and the API's documentation, from files in this package. No folder is served: only
names known at start.
"""

import gzip
import hashlib
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Annotated

from aiohttp import web
from pydantic import Field, ValidationError

from api.request.auth import COOKIE, SECURE_COOKIE, TRIES, too_many
from api.request.context import ApiContext, context_of
from api.request.openapi import open_to
from api.request.problems import Handler, ProblemError
from api.request.values import Asked
from schemas.envelope import Author
from streams.commands.tokens import hash_of, issue_token

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "font-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; manifest-src 'self'"
)
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
    ".json": "application/json",
}
_COOKIE_S = 90 * 86_400
_PACK_FROM = 1_000  # bytes; smaller files do not gain


@dataclass(frozen=True, slots=True)
class _File:
    body: bytes
    packed: bytes | None
    kind: str
    etag: str


class LoginPosted(Asked):
    """A token, pasted."""

    token: Annotated[str, Field(min_length=1, max_length=200)]


def _load(folder: Traversable, prefix: str = "") -> dict[str, _File]:
    files: dict[str, _File] = {}
    for item in folder.iterdir():
        if item.is_dir():
            files |= _load(item, f"{prefix}{item.name}/")
            continue
        kind = _TYPES.get("." + item.name.rpartition(".")[2])
        if kind is None:
            continue
        body = item.read_bytes()
        packed = gzip.compress(body, 9, mtime=0) if len(body) > _PACK_FROM and "woff2" not in kind else None
        files[prefix + item.name] = _File(body, packed, kind, f'"{hashlib.sha256(body).hexdigest()[:20]}"')
    return files


def _serve(request: web.Request, file: _File) -> web.Response:
    headers = {"ETag": file.etag, "Cache-Control": "no-cache", "Vary": "Accept-Encoding"}
    if request.headers.get("If-None-Match") == file.etag:
        return web.Response(status=304, headers=headers)
    headers["Content-Type"] = file.kind
    if file.packed is not None and "gzip" in request.headers.get("Accept-Encoding", ""):
        headers["Content-Encoding"] = "gzip"
        return web.Response(body=file.packed, headers=headers)
    return web.Response(body=file.body, headers=headers)


def add_page_routes(app: web.Application, document: dict[str, object]) -> None:
    """The dashboard at `/`, its files, the sign-in, and the API's document."""
    files = _load(resources.files("api") / "dashboard")

    def page(name: str) -> Handler:
        async def serve(request: web.Request) -> web.Response:
            return _serve(request, files[name])

        return serve

    async def static(request: web.Request) -> web.Response:
        file = files.get(request.match_info["name"])
        if file is None:
            raise web.HTTPNotFound
        return _serve(request, file)

    async def login_page(request: web.Request) -> web.StreamResponse:
        code = request.query.get("code")
        return await _by_code(request, code) if code else _serve(request, files["login.html"])

    async def openapi(_request: web.Request) -> web.Response:
        return web.json_response(document)

    for path, handler in (
        ("/", page("index.html")),
        ("/static/{name:.+}", static),
        ("/login", login_page),
        ("/favicon.ico", page("icon.svg")),
        ("/openapi.json", openapi),
        *((("/docs", page("docs.html")),) if "docs.html" in files else ()),
    ):
        app.router.add_get(path, open_to("public", handler))
    app.router.add_post("/login", open_to("public", _login))
    app.router.add_post("/logout", open_to("public", _logout))


def _set_cookie(response: web.Response, context: ApiContext, token: str) -> None:
    tls = context.secure
    name = SECURE_COOKIE if tls else COOKIE
    response.set_cookie(name, token, max_age=_COOKIE_S, path="/", secure=tls, httponly=True, samesite="Strict")


async def _by_code(request: web.Request, code: str) -> web.StreamResponse:
    """The link that `iv3 up` prints: its code makes an owner's token for this browser."""
    context = context_of(request)
    left = context.login_codes.get(code, 0)
    if left <= 0:
        raise web.HTTPFound("/login?used=1")  # used already, or of an earlier start: the page says so
    context.login_codes[code] = left - 1
    made = await issue_token(context.door(Author("api")), "owner", _browser(request.headers.get("User-Agent", "")))
    # Strict cookies are not sent along a redirect that another site began, and a click on a terminal's link is none: a
    # page of our own leads on.
    page = '<!doctype html><meta http-equiv="refresh" content="0;url=/"><a href="/">iv3</a>'
    response = web.Response(text=page, content_type="text/html")
    _set_cookie(response, context, made.secret)
    return response


# In this order: Edge and Opera call themselves Chrome too, and Chrome calls itself Safari.
_BROWSERS = ("Edg", "OPR", "Firefox", "FxiOS", "Chrome", "CriOS", "Safari")
_SYSTEMS = ("Android", "iPhone", "iPad", "Windows", "Mac OS", "Linux")
_CALLED = {"Edg": "Edge", "OPR": "Opera", "FxiOS": "Firefox", "CriOS": "Chrome", "Mac OS": "Mac"}  # else by the word


def _browser(agent: str) -> str:
    """What people would call the browser that signs in, so that "logged by" tells two of them apart."""
    browser = next((_CALLED.get(word, word) for word in _BROWSERS if word in agent), "a browser")
    system = next((_CALLED.get(word, word) for word in _SYSTEMS if word in agent), "")
    return f"{browser} on {system}" if system else browser


async def _login(request: web.Request) -> web.Response:
    """A pasted token becomes a cookie that no script can read."""
    context = context_of(request)
    try:
        body = LoginPosted.model_validate_json(await request.read())
    except ValidationError:
        raise ProblemError(422, "a token is needed", field="token") from None
    await context.catalog.caught_up()
    if context.catalog.token_by_hash(hash_of(body.token.strip())) is None:
        if not request.app[TRIES].spend(request.remote or ""):
            raise too_many()
        raise ProblemError(401, "The token is unknown or revoked.")
    response = web.Response(status=204)
    _set_cookie(response, context, body.token.strip())
    return response


async def _logout(request: web.Request) -> web.Response:
    response = web.Response(status=204)
    response.del_cookie(SECURE_COOKIE if context_of(request).secure else COOKIE, path="/")
    return response
