"""What the platform speaks about: records, events, alerts, and the text and query rules that all stores share."""
