"""How times, ages, levels and rows look to people, and how people write times."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import click

from soc.clock import from_datetime, to_datetime
from soc.i18n import gettext as _
from soc.i18n import ngettext

if TYPE_CHECKING:
    from collections.abc import Sequence

    from soc.model.fact import Fact

_MOST_SINCE = 5
_MOST_CONTENT = 200
GLYPHS = {"critical": "◆", "high": "▲", "medium": "■", "low": "·", "informational": "·", "none": " "}
STYLES = {"critical": "bold red", "high": "yellow", "medium": "cyan", "low": "", "informational": "dim", "none": "dim"}

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def level_word(level: str) -> str:
    """The word for a level; unknown ones are shown as they are."""
    words = {
        "critical": _("CRITICAL"),
        "high": _("High"),
        "medium": _("Medium"),
        "low": _("Low"),
        "informational": _("Informational"),
        "none": _("None"),
    }
    return words.get(level, level)


def level(value: str) -> str:
    """Glyph and word: the color is never the only sign."""
    return f"{GLYPHS.get(value, ' ')} {level_word(value)}"


def span(seconds: int) -> str:
    """A span of time in words, in the largest unit of which it is a whole number: `2 hours`."""
    if seconds and seconds % 86_400 == 0:
        return ngettext("{count} day", "{count} days", seconds // 86_400).format(count=seconds // 86_400)
    if seconds and seconds % 3_600 == 0:
        return ngettext("{count} hour", "{count} hours", seconds // 3_600).format(count=seconds // 3_600)
    if seconds and seconds % 60 == 0:
        return ngettext("{count} minute", "{count} minutes", seconds // 60).format(count=seconds // 60)
    return ngettext("{count} second", "{count} seconds", seconds).format(count=seconds)


def title(rule: Any) -> str:
    """The title of a rule (or of its reference in an alert, also as JSON) in the language of the reader."""
    from soc.i18n import current

    named = rule.get if isinstance(rule, dict) else lambda key: getattr(rule, key, "")
    return str((current() == "vi" and named("title_vi")) or named("title"))


def style_of(value: str) -> str:
    """The style of a level."""
    return STYLES.get(value, "")


def when(moment: str | int, zone: str) -> str:
    """A time (RFC 3339 text, or microseconds since 1970) in a zone, with the zone: `2026-11-21 08:03:04 +07`."""
    if moment in ("", None):
        return ""
    try:
        utc = to_datetime(moment) if isinstance(moment, int) else datetime.fromisoformat(moment)
    except (ValueError, OverflowError):
        return str(moment)
    local = utc.astimezone(ZoneInfo(zone))
    offset = local.strftime("%z")
    return local.strftime("%Y-%m-%d %H:%M:%S ") + (offset[:3] if offset.endswith("00") else f"{offset[:3]}:{offset[3:]}")


def age(moment: str, now_us: int) -> str:
    """How long ago: `45s`, `12m`, `3h`, `6d`."""
    try:
        seconds = (now_us - from_datetime(datetime.fromisoformat(moment))) // 1_000_000
    except ValueError:
        return ""
    sign, seconds = ("-", -seconds) if seconds < 0 else ("", seconds)
    for unit, size in (("d", 86_400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * size or (unit == "m" and seconds >= size):
            return f"{sign}{seconds // size}{unit}"
    return f"{sign}{seconds}s"


_FIRST_US = 0
_LAST_US = from_datetime(datetime(3000, 1, 1, tzinfo=UTC))

# Reference: `90m`, `24h`, `7d`, `2w`
_SPAN = re.compile(r"(\d{1,7})([smhdw])")

# Reference: `22:05`
_CLOCK = re.compile(r"(\d{1,2}):(\d{2})")
# Reference: `20/11/2026`, `20/11/2026 08:30`, as people here write dates
_DAY = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{4})(?: (\d{1,2}:\d{2}))?")


def read_time(text: str, now_us: int, zone: str) -> int:
    """Microseconds since 1970 of a time as people write it: `24h` (ago), `22:05` (the last one), `2026-11-20`, `2026-11-20 08:30`,
    `20/11/2026 08:30`, RFC 3339.

    Raises: click.BadParameter.
    """
    text = text.strip()
    span = _SPAN.fullmatch(text)
    if span:
        return _possible(text, now_us - int(span.group(1)) * _SECONDS[span.group(2)] * 1_000_000)
    if text == "now":
        return now_us
    clock = _CLOCK.fullmatch(text)
    if clock:
        return _last(int(clock[1]), int(clock[2]), now_us, zone)
    written = _DAY.fullmatch(text)
    if written:
        text = f"{written[3]}-{int(written[2]):02d}-{int(written[1]):02d} {written[4] or ''}".strip()
    try:
        moment = datetime.fromisoformat(text)
        return _possible(text, from_datetime(moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(zone))))
    except (ValueError, OverflowError):
        raise click.BadParameter(_("no time: {text} (as 24h, 7d, 2026-11-20, '2026-11-20 08:30', 2026-11-20T01:30:00Z)").format(text=text)) from None


def _possible(text: str, us: int) -> int:
    """The time, when it is one of the years that records may hold.

    Raises: click.BadParameter.
    """
    if not _FIRST_US <= us < _LAST_US:
        raise click.BadParameter(_("no time: {text} (before 1970 or after 2999)").format(text=text))
    return us


def _last(hour: int, minute: int, now_us: int, zone: str) -> int:
    """The last time that the clocks of the zone showed this: today, or else yesterday.

    Raises: click.BadParameter.
    """
    now = to_datetime(now_us).astimezone(ZoneInfo(zone))
    try:
        moment = now.replace(hour=hour, minute=minute, second=0, microsecond=0)
    except ValueError:
        raise click.BadParameter(_("no time: {text} (as 22:05)").format(text=f"{hour}:{minute}")) from None
    return from_datetime(moment if moment <= now else moment - timedelta(days=1))


def read_end(text: str, now_us: int, zone: str) -> int:
    """As `read_time`, for what is to come: `7d` is in seven days.

    Raises: click.BadParameter.
    """
    text = text.strip()
    span = _SPAN.fullmatch(text)
    return _possible(text, now_us + int(span.group(1)) * _SECONDS[span.group(2)] * 1_000_000) if span else read_time(text, now_us, zone)


def conflict(stream: str, since: Sequence[Fact], zone: str) -> list[str]:
    """What somebody else recorded meanwhile, and that nothing else was: a line each, the newest last."""
    from soc.cli import _words

    lines = [_("{object} was changed meanwhile, so yours was not recorded:").format(object=stream)]
    for fact in since[-_MOST_SINCE:]:
        content = " ".join(f"{key}={value}" for key, value in fact.data.items() if isinstance(value, str | int) and value != "")
        behalf = _("on behalf of {name}").format(name=fact.behalf.person) if fact.behalf else ""
        lines.append("  " + "  ".join(filter(None, (when(fact.at, zone), fact.actor, behalf, _words.fact(fact.kind), content[:_MOST_CONTENT], fact.reason))))
    return lines


def ends(doc: dict[str, Any], side: str) -> str:
    """Address, domain or mail address of one end of an event (flat document)."""
    found = doc.get(f"{side}.ip") or doc.get(f"{side}.address") or doc.get(f"{side}.domain")
    if not found:
        found = doc.get("email.from.address" if side == "source" else "email.to.address") or ""
    if isinstance(found, list):
        found = found[0] if len(found) == 1 else f"{found[0]} +{len(found) - 1}" if found else ""
    port = doc.get(f"{side}.port")
    return f"{found}:{port}" if found and port and ":" not in str(found) else str(found)


def bar(count: int, most: int, width: int = 30) -> str:
    """A bar of eighths of a character; anything above nothing shows."""
    eighths = max(round(count * width * 8 / most), 1) if most and count else 0
    return "█" * (eighths // 8) + ("", "▏", "▎", "▍", "▌", "▋", "▊", "▉")[eighths % 8]


def size(count: int) -> str:
    """Bytes for people: `1.5 MiB`."""
    amount = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024:  # noqa: PLR2004
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} TiB"


def number(count: int) -> str:
    """A count with the thousands set apart, as the language in use does."""
    from soc.i18n import current

    text = f"{count:,}"
    return text.replace(",", ".") if current() == "vi" else text
