"""The demonstration: a seeded half-hour of a province's firewall and mail traffic, played through the real pipeline."""
