"""Alerting: who must be told what, when, and again when.

`person_state` is what the journal and the forecasts say of a person; `episodes` what was decided so far, read back from
the log; `rules` turn both into the conditions that hold now; `decide` compares conditions with episodes and answers
with events, changing nothing; `wording` says them to people. `decide` never evolves and `evolve` never decides: state
is only ever what was read back.
"""
