"""The evaluator beside the checkout streams recorded people to `iv3 predict`; AR2 must get AR2's own figures."""

import subprocess
import sys
from pathlib import Path

import pytest

PREDICT = Path(__file__).resolve().parents[3] / "shared" / "predict"


@pytest.mark.long
@pytest.mark.timeout(240)
def test_ar2_gets_the_baselines_own_figures_from_the_evaluator() -> None:
    if not (PREDICT / "evaluate.py").exists():
        pytest.skip("the evaluator is not beside the checkout")
    iv3 = f"{sys.executable} -P -m iv3 predict --predictor ar2"
    command = [
        sys.executable,
        str(PREDICT / "evaluate.py"),
        "--data",
        str(PREDICT / "public"),
        "--groups",
        "uom5,bris15,sim",
        "--days",
        "4",
    ]
    done = subprocess.run(
        [*command, "--baselines", "ar2", "--cmd", iv3, "--name", "ours"], capture_output=True, text=True, check=True
    )
    rows = [[cell.strip() for cell in line.split("|")] for line in done.stdout.splitlines()]
    theirs = [row for row in rows if row[0] == "ar2"]
    ours = [row for row in rows if row[0] == "ours"]
    assert len(ours) == len(theirs) >= 3
    for mine, other in zip(ours, theirs, strict=True):
        # Errors, Clarke zones, what the score ranks, the alarms; the bands (cell 4) only ours has, and the last is
        # time.
        assert [mine[n] for n in (1, 2, 3, 5, 6)] == [other[n] for n in (1, 2, 3, 5, 6)]
