"""Who may call what: roles, tokens, cookies, and who is refused."""

import base64
import json

from tests.support.serving import NOW_MS, Served

DOSE = {"kind": "insulin", "units": 4.5, "insulin": "humalog"}


HOUR_MS = 3_600_000


async def test_every_route_declares_a_role_and_refuses_who_has_none(iv3: Served) -> None:
    from api.app import build_api
    from api.request.openapi import ROLE

    tokens = {role: await iv3.token(role) for role in ("owner", "writer", "uploader", "reader")}  # type: ignore[arg-type]  # each is one of the roles
    allowed = {
        "reader": {"reader", "writer", "owner"},
        "writer": {"writer", "owner"},
        "owner": {"owner"},
        "uploader": {"uploader", "owner"},
        "now": {"reader", "writer", "uploader", "owner"},
        "seed": {"owner"},
    }
    seen = 0
    for route in build_api(iv3.context).router.routes():
        needed = getattr(route.handler, ROLE, None)
        assert needed is not None, route
        if (
            needed == "public"
            or route.resource is None
            or route.method == "HEAD"
            or route.resource.canonical == "/v1/stream"
        ):
            continue
        path = route.resource.canonical.replace("{id}", "x").replace("{kind}", "low")
        assert (await iv3.ask(route.method, path))[0] == 401, path
        for role, token in tokens.items():
            status, _ = await iv3.ask(route.method, path, token=token)
            assert (status == 403) == (role not in allowed[needed]), (path, role, status)
        seen += 1
    assert seen > 30


async def test_a_token_opens_by_bearer_basic_and_cookie_until_it_is_revoked(iv3: Served, owner: str) -> None:
    _, made = await iv3.ask("POST", "/v1/tokens", token=owner, json={"role": "reader", "name": "Retool"})
    token = made["token"]
    basic = "Basic " + base64.b64encode(f"anything:{token}".encode()).decode()
    ways: list[dict[str, str]] = [
        {"Authorization": f"Bearer {token}"},
        {"Authorization": basic},
        {"Cookie": f"iv3={token}"},
    ]
    for headers in ways:
        assert (await iv3.ask("GET", "/v1/now", headers=headers))[0] == 200
    await iv3.ask("DELETE", f"/v1/tokens/{made['id']}", token=owner)
    for headers in ways:
        assert (await iv3.ask("GET", "/v1/now", headers=headers))[0] == 401
    _, listed = await iv3.ask("GET", "/v1/tokens", token=owner)
    assert token not in json.dumps(listed)


async def test_another_sites_page_cannot_write_with_our_cookie(iv3: Served, owner: str) -> None:
    headers = {"Cookie": f"iv3={owner}", "Idempotency-Key": "k", "Origin": "https://evil.example"}
    assert (await iv3.ask("POST", "/v1/entries", json=DOSE, headers=headers))[0] == 403
    headers = {"Cookie": f"iv3={owner}", "Idempotency-Key": "k", "Sec-Fetch-Site": "cross-site"}
    assert (await iv3.ask("POST", "/v1/entries", json=DOSE, headers=headers))[0] == 403


async def test_guessing_tokens_is_slowed_down_and_a_right_one_still_works(iv3: Served, owner: str) -> None:
    statuses = [(await iv3.ask("GET", "/v1/now", token=f"wrong{n}"))[0] for n in range(60)]
    assert statuses.count(401) <= 31
    assert statuses[-1] == 429
    assert (await iv3.ask("GET", "/v1/now", token=owner))[0] == 200


async def test_an_expired_token_opens_nothing(iv3: Served, owner: str) -> None:
    _, made = await iv3.ask(
        "POST", "/v1/tokens", token=owner, json={"role": "reader", "name": "Nurse", "expires": NOW_MS + HOUR_MS}
    )
    assert (await iv3.ask("GET", "/v1/now", token=made["token"]))[0] == 200
    iv3.clock.advance(3_601)
    assert (await iv3.ask("GET", "/v1/now", token=made["token"]))[0] == 401
