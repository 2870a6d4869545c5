"""What `/v1` answers: one pydantic model an answer, so that the OpenAPI document, the page and generated clients are
held by the same words.

Every field is set by whoever answers; what an entry's kind does not have is left out, nothing is filled in. Times stand
twice, as ISO 8601 in UTC and in epoch milliseconds (`_ms`); glucose in mg/dL, in mmol/L too where it says so.
"""
