"""Adapters of the `Archive` port: objects by key. `folder` keeps them as files; a bucket holds the same bytes under the same keys."""
