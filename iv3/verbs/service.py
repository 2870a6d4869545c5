"""`iv3 service`: the systemd unit that keeps iv3 running on this machine."""

import shutil
import subprocess
import sys
from pathlib import Path

from iv3.options import ServiceOptions
from iv3.output import fail
from streams.errors import AlreadyExists, Misconfigured, NotFound

UNIT = Path("/etc/systemd/system/iv3.service")


def unit(options: ServiceOptions, command: Path) -> str:
    """The text of the unit. Hardened: it may write its own folder and nothing else, and gains no rights."""
    folder = options.folder.resolve()
    if any(character in f"{folder}{options.user}{command}" for character in '\n"%'):
        raise Misconfigured(
            "The folder, the user and the path of iv3 must not hold quotes, per cent signs or line breaks."
        )
    return f"""[Unit]
Description=iv3, a companion for people with type 1 diabetes
Documentation=file://{folder}
# Ages of readings are worth nothing on a clock that was not set yet.
Wants=network-online.target time-sync.target
After=network-online.target time-sync.target

[Service]
Type=exec
User={options.user}
WorkingDirectory={folder}
ExecStart="{command}" up
Restart=always
RestartSec=10
TimeoutStopSec=20
UMask=0077
# It writes its own folder and nothing else.
ProtectSystem=strict
ReadWritePaths="{folder}"
ProtectHome=read-only
PrivateTmp=yes
PrivateDevices=yes
NoNewPrivileges=yes
CapabilityBoundingSet=
AmbientCapabilities=
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
# Alarms matter more than whatever else fills the memory.
OOMScoreAdjust=-500

[Install]
WantedBy=multi-user.target
"""


def show(options: ServiceOptions) -> None:
    """Print the unit."""
    sys.stdout.write(unit(options, _command()))


def install(options: ServiceOptions) -> None:
    """Write the unit, and start it now and at every boot. Never over one that somebody changed."""
    text = unit(options, _command())
    if shutil.which("systemctl") is None:
        fail("This machine has no systemd. `iv3 service show` prints the unit; any other supervisor can run `iv3 up`.")
    if not (options.folder / "config.yaml").exists():
        raise NotFound(f"There is no config.yaml in {options.folder}: make one there with `iv3 init` first.")
    if UNIT.exists() and UNIT.read_text(encoding="utf-8") != text:
        raise AlreadyExists(
            f"{UNIT} is there already and says something else. Compare it with `iv3 service show`, or remove it first."
        )
    try:
        UNIT.write_text(text, encoding="utf-8")
    except OSError as error:
        again = f"sudo {_command()} service install --user {options.user}"
        fail(f"{UNIT} cannot be written: {error.strerror}. Run it as root: {again}")
    for arguments in (["daemon-reload"], ["enable", "--now", "iv3.service"]):
        done = subprocess.run(["systemctl", *arguments], capture_output=True, text=True, timeout=60, check=False)  # noqa: S603, S607 - systemd's own
        if done.returncode:
            fail(f"systemctl {' '.join(arguments)} failed: {done.stderr.strip()}")
    sys.stdout.write("iv3 runs now, and starts with the machine. `systemctl status iv3`, `journalctl -u iv3`.\n")


def _command() -> Path:
    return Path(sys.argv[0]).resolve() if Path(sys.argv[0]).name == "iv3" else Path(sys.executable).parent / "iv3"
