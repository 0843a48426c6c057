"""The distributed store: Elasticsearch 9, by core features alone (no scripts, no ILM, no licence-bound field types)."""
