"""Observables: what texts, mails and events name of an attack, what must never be blocked, and the lists that gateways block by."""
