"""Roles of people, and how far a right reaches: over every object, or over those of the own agency and all below it."""

from __future__ import annotations

from typing import Literal

Role = Literal["viewer", "analyst", "lead", "officer", "administrator"]
VIEWER, ANALYST, LEAD, OFFICER, ADMINISTRATOR = ROLES = ("viewer", "analyst", "lead", "officer", "administrator")
"""What a person of the registry with an account may be. `officer`: the person in charge at an agency, who sees and answers for its subtree only."""
SERVICE = "service"
"""The program itself, where nobody sits before it (`soc run`, automated rules, reminders); no person has this role."""
Reach = Literal["", "own", "any"]
NONE: Reach = ""
OWN: Reach = "own"
ANY: Reach = "any"
