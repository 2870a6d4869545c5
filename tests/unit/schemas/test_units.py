"""mg/dL and mmol/L."""

from schemas.units import mgdl, mmol, spoken


def test_units_convert_there_and_back_and_speak_low_and_high() -> None:
    assert [mmol(v) for v in (39, 54, 70, 180, 250)] == [2.2, 3.0, 3.9, 10.0, 13.9]
    assert all(mmol(mgdl(tenths / 10)) == tenths / 10 for tenths in range(10, 400))
    assert (spoken(39, "mmol/L"), spoken(401, "mg/dL"), spoken(104, "mmol/L")) == ("LOW", "HIGH", "5.8")
