"""Wake-ups between processes that share a SQLite log: a datagram to each one's socket, instead of polling the file.

The sockets lie in `<log>.wake/` (in the temporary folder where that path is too long for a socket). A datagram that is
lost costs at most `FALLBACK_S`: then the listener looks by itself.
"""

import hashlib
import os
import socket
import tempfile
import threading
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

FALLBACK_S = 2.0
_LONGEST_SOCKET_PATH = 100  # Linux allows 108 bytes, macOS 104


class Wakeups:
    """Tells the other processes, and hears them in a thread of its own."""

    def __init__(self, log_path: Path, heard: Callable[[], None]) -> None:
        folder = log_path.with_name(log_path.name + ".wake")
        name = f"{os.getpid()}-{uuid.uuid4().hex[:6]}"
        if len(str(folder.resolve() / name)) > _LONGEST_SOCKET_PATH:
            short = hashlib.blake2b(str(folder.resolve()).encode(), digest_size=8).hexdigest()
            folder = Path(tempfile.gettempdir()) / f"iv3-{os.getuid()}-{short}"
        folder.mkdir(mode=0o700, exist_ok=True)
        self._folder, self._own = folder, folder / name
        self._heard = heard
        self._closed = False
        self._in = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._in.bind(str(self._own))
        self._in.settimeout(FALLBACK_S)
        self._out = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._out.setblocking(False)
        self._thread = threading.Thread(target=self._listen, name="log-wake", daemon=True)
        self._thread.start()

    def tell(self) -> None:
        """Wake every other process that has the log open. Never fails: whoever is not woken looks by itself a little
        later.
        """
        with suppress(OSError):  # the folder is gone, or no file descriptor is left to read it
            for other in self._folder.iterdir():
                if other.name != self._own.name:
                    self._wake(other)

    def _wake(self, other: Path) -> None:
        try:
            self._out.sendto(b"!", str(other))
        except BlockingIOError:
            pass  # its queue is full: it will wake anyway
        except OSError:
            with suppress(OSError):  # nobody is behind that socket any more
                other.unlink()

    def _listen(self) -> None:
        while not self._closed:
            try:
                self._in.recv(16)
                self._drain()
            except TimeoutError:
                pass
            except OSError:
                return
            if not self._closed:
                self._heard()

    def _drain(self) -> None:
        self._in.setblocking(False)
        with suppress(BlockingIOError):
            while self._in.recv(16):
                pass
        self._in.settimeout(FALLBACK_S)

    def close(self) -> None:
        """Stop listening and take the socket away."""
        if self._closed:
            return
        self._closed = True
        with suppress(OSError):
            self._out.sendto(b"q", str(self._own))
        self._thread.join(FALLBACK_S + 1)
        with suppress(OSError):
            self._own.unlink()
        self._in.close()
        self._out.close()
