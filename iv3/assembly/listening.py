"""Where the API listens: a free port, a certificate, and no open air without one."""

import ipaddress
import socket
import ssl
from pathlib import Path
from urllib.parse import urlsplit

from schemas.settings import Settings
from streams.errors import Misconfigured


def tls_context(settings: Settings) -> ssl.SSLContext | None:
    """TLS 1.2 or newer from the configured files, or None. Raises Misconfigured."""
    api = settings.api
    if not api.certfile or not api.keyfile:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(api.certfile, api.keyfile)
    except (OSError, ssl.SSLError) as error:
        raise Misconfigured(f"api.certfile and api.keyfile cannot be used for TLS: {error}.") from None
    return context


_PORTS_TRIED = 20


def with_found_certificate(settings: Settings) -> Settings:
    """The seed's certificate, where it lay, unless another one is configured."""
    cert, key = Path("_iv3_ssl/certfile.crt"), Path("_iv3_ssl/keyfile.key")
    if settings.api.certfile or not (cert.exists() and key.exists()):
        return settings
    api = settings.api.model_copy(update={"certfile": str(cert), "keyfile": str(key)})
    return settings.model_copy(update={"api": api})


def refuse_open_air(host: str, *, tls: bool) -> None:
    """Without TLS, health data and passwords travel in clear: only this machine may ask."""
    if not tls and not is_loopback(host):
        raise Misconfigured(
            f"Listening on {host} needs TLS. Set api.certfile and api.keyfile (`task ssl-gen` makes a "
            "pair), or stay on 127.0.0.1 and put in front:\n"
            "  tailscale serve --bg 8080\n"
            "  caddy reverse-proxy --from your.name.example --to 127.0.0.1:8080"
        )


def is_free(host: str, port: int) -> bool:
    """Whether nothing listens on this port."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def any_free_port() -> int:
    """Chosen now, so that the client can be built before the fake Share runs."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_loopback(host: str) -> bool:
    """Whether a name or an address can only be this machine."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_here(url: str) -> bool:
    """Whether an address on the web is of this machine, by one of its three usual names."""
    return urlsplit(url).hostname in {"127.0.0.1", "localhost", "::1"}


def is_loopback_url(url: str) -> bool:
    """Whether an http address is of this machine."""
    return urlsplit(url).scheme == "http" and is_here(url)


def free_port(host: str, port: int) -> int:
    """A free port: the one asked for, or the first of the next twenty; 0, which stands for any, where all are taken."""
    if port == 0:
        return 0
    for candidate in range(port, port + _PORTS_TRIED):
        if is_free(host, candidate):
            return candidate
    return 0
