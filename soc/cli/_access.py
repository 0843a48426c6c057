"""Words for roles and for why somebody has one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from soc.i18n import gettext as _

if TYPE_CHECKING:
    from soc.application.access import Standing


def role_word(role: str) -> str:
    """The word for a role."""
    words = {
        "viewer": _("viewer"),
        "analyst": _("analyst"),
        "lead": _("lead"),
        "officer": _("agency officer"),
        "administrator": _("administrator"),
        "service": _("the program itself"),
        "": _("no role"),
    }
    return words.get(role, role)


def why_text(who: Standing) -> str:
    """Why somebody stands in a role."""
    if who.why == "sole":
        return _("Nobody is registered with an account: whoever may run soc here is administrator (soc people import: account, role).")
    if who.why == "registered":
        return _("Registered as {person}.").format(person=who.person)
    if who.why == "service":
        return _("The program acts by itself.")
    return _("This account is registered nowhere: an administrator adds it (soc people import: account, role).")
