"""`soc systems`: import, list, show."""

from __future__ import annotations

from soc.cli._registry import make
from soc.i18n import gettext as _

command = make("systems", _("Information systems: owner, security level, dossier, what the initial report asks for."))
