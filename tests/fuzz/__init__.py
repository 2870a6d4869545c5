"""Every operation of the OpenAPI document, asked with what Schemathesis thinks of, against a real `iv3 up --demo`."""
