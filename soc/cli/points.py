"""`soc points`: import, list, show."""

from __future__ import annotations

from soc.cli._registry import make
from soc.i18n import gettext as _

command = make("points", _("Network points: routers and firewalls, and the networks behind them."))
