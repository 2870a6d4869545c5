"""The checks in the order in which the doctor makes them."""

from iv3.doctor.archive import archive
from iv3.doctor.erasure import erasing
from iv3.doctor.findings import Check
from iv3.doctor.host import files, port
from iv3.doctor.log import log
from iv3.doctor.notifier import ntfy
from iv3.doctor.people import accounts, profiles
from iv3.doctor.series import series

CHECKS: tuple[Check, ...] = (files, profiles, port, log, erasing, series, accounts, ntfy, archive)
