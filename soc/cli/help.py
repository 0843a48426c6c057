"""`soc help`: what one needs to know, without a network."""

from __future__ import annotations

import difflib
import re

import click

from soc.cli._errors import exit_codes
from soc.cli._session import Session, pass_session
from soc.i18n import current
from soc.i18n import gettext as _

# Reference: a line of two columns: what to type, at least two spaces, what it does
_COLUMNS = re.compile(r"\s*\S+(?: \S+)*\s{2,}")
TOPICS = ("exit-codes", "filters", "config", "keys")


def _page(session: Session, text: str) -> None:
    """Write a page; what is folded stands below the second column."""
    for line in text.split("\n"):
        first = _COLUMNS.match(line)
        head = first.group() if first else ""
        click.echo(session.out.folded(line[len(head) :], head, " " * len(head)) if line else "")


@click.command(help=_("Explain a topic: exit-codes, filters, config, keys; or show the help of a command."))
@click.argument("topic", nargs=-1)
@pass_session
@click.pass_context
def command(ctx: click.Context, session: Session, topic: tuple[str, ...]) -> None:
    """Explain a topic."""
    if not topic:
        click.echo(_("Topics") + ": " + ", ".join(f"soc help {name}" for name in TOPICS))
        click.echo(_("Commands: soc --help, soc COMMAND --help, soc commands"))
    elif topic == ("exit-codes",):
        _page(session, "\n".join(f"{code:>4}  {meaning}" for code, meaning in exit_codes()))
    elif topic == ("filters",):
        _page(session, FILTERS[current() if current() in FILTERS else "en"])
    elif topic == ("keys",):
        _page(session, KEYS[current() if current() in KEYS else "en"])
    elif topic == ("config",):
        _config()
    else:
        _command_help(ctx, topic)


def _config() -> None:
    from soc.application.settings import documented

    click.echo(
        _(
            "Order, the first that names a value wins: option, SOC_* variable (SOC_STORE__KIND), --config or SOC_CONFIG, the user's file, /etc/soc/soc.toml, default."
        )
    )
    click.echo(_("Secrets stand in files or come from commands: password_file, password_command."))
    section = None
    for doc in documented():
        head, _dot, key = doc.key.rpartition(".")
        if head != section:
            section = head
            table, _bracket, kind = head.partition("(")
            click.echo(f"\n[{table}]" + (f' type = "{kind[:-1]}"' if kind else "") if head else "")
        click.echo(f"  {key} = {doc.default or '-'}  ({doc.type})" + (f"\n      {doc.text}" if doc.text else ""))


def _command_help(ctx: click.Context, words: tuple[str, ...]) -> None:
    from soc.cli._group import root

    found: click.Command = root()
    context = click.Context(found, info_name="soc")
    for at, word in enumerate(words):
        inner = found.get_command(context, word) if isinstance(found, click.Group) else None
        if inner is None:
            known = found.list_commands(context) if isinstance(found, click.Group) else []
            near = difflib.get_close_matches(word, [*known, *(TOPICS if context.parent is None else ())], n=1)
            ctx.fail(
                _("no such topic or command: {name}").format(name=" ".join(words))
                + (" " + _("(did you mean {name}?)").format(name=" ".join((*words[:at], near[0]))) if near else "")
            )
        found = inner
        context = click.Context(found, info_name=word, parent=context)
    click.echo(found.get_help(context))


FILTERS = {
    "en": """\
A query is words and conditions; a space means "and".

  trường học                     both words somewhere in the event, in any case, with or without accents
  "đăng nhập sai"                these words as written, one after the other
  source.ip:203.0.113.7          a field has this value
  source.ip:10.0.0.0/8           an address inside a network
  destination.port:>=1024        comparison: > >= < <=
  destination.port:[22 TO 25]    a range with its ends; {22 TO 25} without
  @timestamp:>2026-11-20         times too
  user.name:admin*               * any text, ? one character; without them the whole value is meant
  exists:email.subject           the field has a value
  -event.action:accept           not; also: not event.action:accept
  a:1 or (b:2 and not c:3)       or, and, not, brackets
  level:>=high                   what the classification rules said (none < low < medium < high < critical)
  email.subject:"trúng thưởng"   a value with spaces stands in quotes

Field names are those of ECS (source.ip, destination.port, event.action, email.from.address, …) and soc.*.
Short names: level, kind, ip, src, dst, port, sport, dport, user, host, action, rule, from, to, subject, url, domain, hash, …
Period, number and order are options: --since 24h --until 2026-11-20 --limit 50 --oldest-first""",
    "vi": """\
Câu truy vấn gồm các từ và điều kiện; dấu cách nghĩa là «và».

  trường học                     cả hai từ có trong sự kiện, không phân biệt hoa thường, có dấu hay không dấu
  "đăng nhập sai"                đúng cụm từ này
  source.ip:203.0.113.7          trường có giá trị này
  source.ip:10.0.0.0/8           địa chỉ thuộc mạng này
  destination.port:>=1024        so sánh: > >= < <=
  destination.port:[22 TO 25]    khoảng kể cả hai đầu; {22 TO 25} không kể hai đầu
  @timestamp:>2026-11-20         thời gian cũng vậy
  user.name:admin*               * là chuỗi bất kỳ, ? là một ký tự; không có chúng thì phải đúng cả giá trị
  exists:email.subject           trường có giá trị
  -event.action:accept           phủ định; hoặc: not event.action:accept
  a:1 or (b:2 and not c:3)       or (hoặc), and (và), not (không), dấu ngoặc
  level:>=high                   mức độ do quy tắc phân loại xác định (none < low < medium < high < critical)
  email.subject:"trúng thưởng"   giá trị có dấu cách đặt trong ngoặc kép

Tên trường theo ECS (source.ip, destination.port, event.action, email.from.address, …) và soc.*.
Tên ngắn: level, kind, ip, src, dst, port, sport, dport, user, host, action, rule, from, to, subject, url, domain, hash, …
Khoảng thời gian, số lượng, thứ tự là tùy chọn: --since 24h --until 2026-11-20 --limit 50 --oldest-first""",
}

KEYS = {
    "en": """\
Ctrl-C once    finish the batch in hand, commit, end (soc run, soc ingest)
Ctrl-C twice   stop at once; nothing is lost: what was not committed is read again
Ctrl-C         end soc events tail
Ids            any unique beginning will do: g-7f3a, a-q2
Output         --json, --jsonl, --csv, --plain; on a terminal a table, else tab-separated lines""",
    "vi": """\
Ctrl-C một lần   hoàn tất lô đang xử lý, ghi nhận rồi dừng (soc run, soc ingest)
Ctrl-C hai lần   dừng ngay; không mất dữ liệu: phần chưa ghi nhận sẽ được đọc lại
Ctrl-C           kết thúc soc events tail
Mã định danh     chỉ cần phần đầu nếu là duy nhất: g-7f3a, a-q2
Đầu ra           --json, --jsonl, --csv, --plain; trên thiết bị đầu cuối là bảng, nếu không là các dòng cách nhau bằng tab""",
}
