"""`soc partners`: import, list, show."""

from __future__ import annotations

from soc.cli._registry import make
from soc.i18n import gettext as _

command = make("partners", _("Partners outside: the national centre, police, providers."))
