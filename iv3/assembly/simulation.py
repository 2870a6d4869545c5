"""The made-up outside world, as the demo and `iv3 simulate` are handed it: a fake Dexcom Share of one person or many,
and recorded lives.
"""

from streams.adapters.simulation.faults import FAULTS, parse_faults
from streams.adapters.simulation.recorded import read_recorded
from streams.adapters.simulation.share_server import ShareServer
from streams.adapters.simulation.town import PASSWORD as TOWN_PASSWORD
from streams.adapters.simulation.town import ShareTown, account_names

__all__ = ["FAULTS", "TOWN_PASSWORD", "ShareServer", "ShareTown", "account_names", "parse_faults", "read_recorded"]
