"""Every command × role × whose object, generated from the table of rights: `soc` as people of each role type it."""

from __future__ import annotations

import json
import os
import pwd
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest

from soc import cli
from soc.application import access
from soc.cli import _session
from soc.cli._group import root
from soc.model.role import ANY, NONE, OWN, ROLES
from tests.cli.conftest import Done, Run

pytestmark = pytest.mark.xdist_group("cli-access")

ACCOUNTS = {"viewer": "vi", "analyst": "an", "lead": "le", "officer": "of", "administrator": "ad"}
TABLES = {
    "agencies": "id,name,level,parent\nubnd,UBND tỉnh,province,\nso-yt,Sở Y tế,department,ubnd\ntt-yt,Trung tâm y tế,unit,so-yt\nso-gd,Sở Giáo dục,department,ubnd\n",
    "points": "id,name,agency,observers\np-yt,Điểm A,tt-yt,FGT-A\np-gd,Điểm B,so-gd,FGT-B\n",
    "systems": "id,name,owner\ns-yt,Hệ thống Y,so-yt\ns-gd,Hệ thống G,so-gd\n",
    "mailboxes": "address,agency\na@yt.vn,so-yt\nb@gd.vn,so-gd\n",
    "partners": "id,name\nvncert,VNCERT\n",
    "people": "id,name,agency,role,account\nvi,Vi,ubnd,viewer,vi\nan,An,ubnd,analyst,an\nle,Lê,ubnd,lead,le\nof,Phương,so-yt,officer,of\nad,Đạt,ubnd,administrator,ad\n"
    "gd,Giang,so-gd,contact,\n",
}
LINE = (
    'date=2026-11-20 time=08:00:0{n} devname="FGT-{place}" devid="FG{place}" eventtime=179513640{n}000000000 tz="+0700" logid="0422016400" type="utm" subtype="ips" eventtype="botnet" level="warning" '
    'vd="root" severity="critical" srcip=10.1.1.{n} srcport=50001 dstip=203.0.113.66 dstport=4444 sessionid={n} proto=6 action="detected" attack="Botnet"'
)
SLOW = {"run", "demo", "doctor", "replay", "rules backtest", "rules import", "rules eval", "events tail", "agencies sample"}
"""Allowed to some; that they go on is tried elsewhere."""
MORE = {
    "alerts verdict": ("false-positive",),
    "deadletters redrive": ("--all",),
    "rules reload": ("--wait", "0"),
    "store retention": ("--before", "2020-01-01"),
    "alerts close": ("--verdict", "test"),
    "alerts assign": ("--to", "x"),
}
"""What the shape of a command does not say that it needs before it asks for the store."""


def leaves() -> dict[str, click.Command]:
    """Every command by its words."""
    found: dict[str, click.Command] = {}

    def walk(command: click.Command, words: str, context: click.Context) -> None:
        if not isinstance(command, click.Group):
            found[words] = command
            return
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            walk(inner, f"{words} {name}".strip(), click.Context(inner, parent=context, info_name=name))

    group = root()
    walk(group, "", click.Context(group, info_name="soc"))
    return found


LEAVES = leaves()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with events, incidents and notices of two agencies, and a person in each role."""
    folder = tmp_path_factory.mktemp("whole")
    store = ("--store", str(folder / "s"))

    def run(*words: str) -> None:
        assert cli.execute([*words, *store, "-q"]) == 0, words

    for kind, text in TABLES.items():
        if kind != "people":
            (folder / f"{kind}.csv").write_text(text, encoding="utf-8")
            run(kind, "import", str(folder / f"{kind}.csv"), "--yes")
    (folder / "fw.log").write_text(LINE.format(n=1, place="A") + "\n" + LINE.format(n=2, place="B") + "\n", encoding="utf-8")
    run("ingest", "file", str(folder / "fw.log"), "--product", "fortinet_fortigate")
    for agency in ("tt-yt", "so-gd"):
        run("incidents", "new", f"Sự cố {agency}", "--agency", agency)
    for number in ("1", "2"):
        run("incidents", "task", number, "Cách ly máy")
    for agencies in (("so-yt", "so-gd"), ("so-gd",)):
        run("notices", "new", "Lỗ hổng", *(word for agency in agencies for word in ("--to", agency)))
    for number in ("1", "2"):
        run("notices", "approve", number, "--signer", "Ông A", "--number", "1/CB", "--signed-on", "2026-11-20")
        run("notices", "send", number, "--channel", "paper")
    (folder / "people.csv").write_text(TABLES["people"], encoding="utf-8")
    run("people", "import", str(folder / "people.csv"), "--yes")
    return folder / "s"


@pytest.fixture
def as_(soc: Run, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Done]:
    """Run a command as the person of a role, on a store of the test's own."""
    shutil.copytree(whole, tmp_path / "s")

    def run(role: str, *words: str) -> Done:
        monkeypatch.setattr("soc.cli._session.actor_name", lambda: ACCOUNTS.get(role, role))
        return soc(*words, "--store", str(tmp_path / "s"), "--no-input")

    return run


def filled(command: click.Command, words: str, folder: Path) -> list[str]:
    """The words of a command with something for everything that it needs."""
    given = words.split()
    file = folder / "given.txt"
    file.write_text("x\n", encoding="utf-8")

    def value(param: click.Parameter) -> str:
        kind = param.type
        if isinstance(kind, click.Choice):
            return str(next(iter(kind.choices)))
        if isinstance(kind, click.Path):
            return str((folder if kind.file_okay is False else file) if kind.exists else folder / "new")
        if isinstance(kind, click.types.IntParamType | click.types.FloatParamType):
            return "1"
        return "1d" if param.metavar == "TIME" else "x"

    for param in command.params:
        if isinstance(param, click.Argument) and (param.required or words.startswith("alerts ")):
            given.append(value(param))
        elif isinstance(param, click.Option) and param.required:
            given += [param.opts[0], value(param)]
    return [*given, *MORE.get(words, ())]


def test_the_table_names_every_command_once() -> None:
    """A command without an action, an action's command that is gone: both fail here."""
    named = [command.strip() for row in access.TABLE for command in row.commands.split(",") if command.strip()]
    assert sorted(named) == sorted(set(named))
    assert set(LEAVES) - set(named) == set(), "name their action in soc/application/access.py"


@pytest.mark.parametrize("words", sorted(set(LEAVES) & set(access.COMMANDS)))
def test_each_role_may_do_what_the_table_says(as_: Callable[..., Done], tmp_path: Path, words: str) -> None:
    """Exit code 5 and who may, for every role that the table leaves out and for strangers; any other code for the rest."""
    row = access.COMMANDS[words]
    typed = filled(LEAVES[words], words, tmp_path)
    if access.EVERYBODY in row.roles.split():
        assert row.reach("") == ANY
        return
    for role in (*ROLES, "mallory"):
        if row.reach(role) == NONE:
            done = as_(role, *typed)
            assert (done.code, "soc access show" in done.err) == (5, True), (role, typed, done.err)
            assert done.out == ""
    if words not in SLOW:
        least = next(role for role in ROLES if row.reach(role) == ANY)
        assert as_(least, *typed).code != 5, (least, typed)


OBJECTS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "alerts get": (("{group:tt-yt}",), ("{group:so-gd}",)),
    "alerts why": (("{group:tt-yt}",), ("{group:so-gd}",)),
    "events get": (("{event:tt-yt}",), ("{event:so-gd}",)),
    "incidents show": (("1",), ("2",)),
    "incidents history": (("1",), ("2",)),
    "incidents note": (("1", "đã xem"), ("2", "đã xem")),
    "incidents task-done": (("1", "t1"), ("2", "t1")),
    "incidents new": (("Máy lạ", "--agency", "tt-yt"), ("Máy lạ", "--agency", "so-gd")),
    "incidents observables": (("1",), ("2",)),
    "incidents related": (("1",), ("2",)),
    "incidents import-eml": (("{eml}", "--agency", "so-yt", "--yes", "--again"), ("{eml}", "--agency", "so-gd", "--yes", "--again")),
    "notices show": (("1",), ("2",)),
    "notices answer": (("1", "so-yt", "received"), ("1", "so-gd", "received")),
    "notices ack": (("{code:so-yt}",), ("{code:so-gd}",)),
    "agencies show": (("tt-yt",), ("so-gd",)),
    "points show": (("p-yt",), ("p-gd",)),
    "people show": (("of",), ("gd",)),
    "systems show": (("s-yt",), ("s-gd",)),
    "mailboxes show": (("a@yt.vn",), ("b@gd.vn",)),
}
"""Command → its words for an object of the officer, and for one of somebody else."""
LISTS = {
    "alerts list", "alerts recipients", "events search", "events stats", "events export", "events tail", "incidents list", "incidents due", "notices list",
    "notices confirmations", "notices unanswered", "notices overdue", "agencies list", "agencies coverage", "agencies gaps", "points list", "people list", "systems list", "mailboxes list",
    "partners list", "partners show",
}  # fmt: skip
"""What shows many objects: only the own ones."""
OFFICERS = sorted(words for words, row in access.COMMANDS.items() if row.reach("officer") == OWN and words in LEAVES)


def test_every_command_of_officers_is_tried_with_objects() -> None:
    """Nobody gives officers a command without saying whose objects it is tried with."""
    assert set(OFFICERS) - set(OBJECTS) - LISTS == set()


def names(as_: Callable[..., Done], words: tuple[str, ...], folder: Path) -> list[str]:
    """Words with ids put in that only the store knows."""
    out = []
    for word in words:
        kind, _, agency = word.strip("{}").partition(":")
        if kind == "group":
            items = json.loads(as_("lead", "alerts", "list", "--json").out)["items"]
            out.append(next(str(item["id"]) for item in items if item["agencies"] == [agency]))
        elif kind == "event":
            items = json.loads(as_("lead", "events", "search", "--json").out)["items"]
            out.append(next(item["soc"]["id"] for item in items if item["soc"]["agency"]["id"] == agency))
        elif kind == "code":
            items = json.loads(as_("lead", "notices", "show", "1", "--json").out)["item"]["recipients"]
            out.append(next(item["code"] for item in items if item["agency"] == agency))
        elif word == "{eml}":
            file = folder / "mail.eml"
            file.write_bytes(
                b"From: hoa@yt.vn\r\nTo: soc@tinh.vn\r\nSubject: May la\r\nDate: Fri, 20 Nov 2026 08:00:00 +0700\r\nMessage-ID: <1@yt.vn>\r\n\r\nnoi dung\r\n"
            )
            out.append(str(file))
        else:
            out.append(word)
    return out


@pytest.mark.parametrize("words", [words for words in OFFICERS if words in OBJECTS])
def test_an_officer_works_with_the_own_agencies_only(as_: Callable[..., Done], tmp_path: Path, words: str) -> None:
    """The own object, and not that of another agency; an analyst may both."""
    own, other = OBJECTS[words]
    mine, theirs = (names(as_, given, tmp_path) for given in (own, other))
    refused = as_("officer", *words.split(), *theirs)
    assert (refused.code, refused.out) == (5, ""), refused
    assert "so-yt" in refused.err
    done = as_("officer", *words.split(), *mine)
    assert done.code == 0, done.err
    assert as_("analyst", *words.split(), *theirs).code == 0


def test_lists_of_an_officer_hold_the_own_agencies_only(as_: Callable[..., Done]) -> None:
    """Events, alerts, incidents, notices and registry: nothing of others, totals included."""

    def both(*words: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        told = [json.loads(as_(role, *words, "--json").out) for role in ("officer", "analyst")]
        for one in told:
            assert one["total"] == len(one["items"])
        return told[0]["items"], told[1]["items"]

    mine, every = both("events", "search")
    assert ({item["soc"]["agency"]["id"] for item in mine}, len(every)) == ({"tt-yt"}, 2)
    mine, every = both("alerts", "list")
    assert {tuple(item["agencies"]) for item in mine} == {("tt-yt",)}
    assert len(every) > len(mine)
    mine, every = both("alerts", "list", "--each")
    assert len(every) > len(mine) > 0
    mine, every = both("incidents", "list")
    assert ([item["agencies"] for item in mine], len(every)) == ([["tt-yt"]], 2)
    mine, every = both("incidents", "due")
    assert {item["incident"] for item in mine} < {item["incident"] for item in every}
    mine, every = both("notices", "list")
    assert (len(mine), len(every)) == (1, 2)
    mine, every = both("notices", "unanswered")
    assert (len(mine), len(every)) == (1, 3)
    for kind, key in (("agencies", "id"), ("points", "id"), ("people", "id"), ("systems", "id"), ("mailboxes", "address"), ("partners", "id")):
        mine, every = both(kind, "list")
        found = [item[key] for item in mine]
        assert (
            found == {"agencies": ["so-yt", "tt-yt"], "points": ["p-yt"], "people": ["of"], "systems": ["s-yt"], "mailboxes": ["a@yt.vn"], "partners": []}[kind]
        )
        assert len(every) > len(mine)
    assert json.loads(as_("officer", "events", "stats", "--json").out)["total"] == 1
    assert len(as_("officer", "events", "export").out.splitlines()) == 1
    assert len(as_("officer", "events", "tail", "--looks", "1", "--json").out.splitlines()) <= 1
    shown = json.loads(as_("officer", "notices", "show", "1", "--json").out)["item"]
    assert [one["agency"] for one in shown["recipients"]] == ["so-yt"]


def test_whoami_says_role_and_rights(as_: Callable[..., Done]) -> None:
    """Account, role, agencies and what one may; strangers are told what to do."""
    item = json.loads(as_("officer", "whoami", "--json").out)["item"]
    assert (item["account"], item["role"], item["agencies"]) == ("of", "officer", ["so-yt", "tt-yt"])
    assert "incidents.note" in item["own_only"]
    assert "alerts.triage" not in item["may"]
    stranger = as_("mallory", "whoami")
    assert (stranger.code, "no role" in stranger.out) == (0, True)
    assert "Phương" in as_("officer", "whoami").out
    doctor = json.loads(as_("mallory", "doctor", "--json").out)["items"]
    assert [(one["name"], one["state"]) for one in doctor if one["name"] == "access"] == [("access", "warn")]


def test_the_table_is_shown(as_: Callable[..., Done]) -> None:
    """Each action with every role's reach and its commands."""
    items = json.loads(as_("mallory", "access", "show", "--json").out)["items"]
    assert {item["action"] for item in items} == {row.action for row in access.TABLE}
    assert {item["officer"] for item in items} == {"", "own", "any"}


def test_the_last_administrator_stays(as_: Callable[..., Done], tmp_path: Path) -> None:
    """An import after which nobody could change roles is refused; when time ran out, the one with the files may name one again."""
    file = tmp_path / "people.csv"
    file.write_text("id,name,agency,role,account\nad,Đạt,ubnd,viewer,ad\n", encoding="utf-8")
    refused = as_("administrator", "people", "import", str(file), "--yes")
    assert (refused.code, "administrator" in refused.err) == (5, True)
    file.write_text("id,name,agency,role,account,valid_until\nad,Đạt,ubnd,administrator,ad,2026-11-01\nx,X,ubnd,administrator,x,2999-01-01\n", encoding="utf-8")
    assert as_("administrator", "people", "import", str(file), "--yes").code == 0
    assert as_("administrator", "people", "import", str(file), "--yes").code == 5
    assert as_("x", "store", "status").code == 0


def test_the_program_works_whoever_starts_it(as_: Callable[..., Done], tmp_path: Path) -> None:
    """A service account that nobody registered runs the pipeline; what it does by itself is done, under the program's name."""
    (tmp_path / "fw.log").write_text("".join(LINE.format(n=n, place="A") + "\n" for n in range(3, 7)), encoding="utf-8")
    config = tmp_path / "soc.toml"
    config.write_text(f'[sources.fw]\ntype = "file"\npaths = ["{tmp_path / "fw.log"}"]\nfollow = false\nproduct = "fortinet_fortigate"\n', encoding="utf-8")
    config.chmod(0o600)
    done = as_("soc", "run", "--once", "--json", "--config", str(config))
    assert done.code == 0, done.err
    done = as_("soc", "duties", "run")
    assert done.code == 0, done.err
    assert as_("soc", "alerts", "list").code == 5
    actors = {item["actor"] for item in json.loads(as_("lead", "audit", "log", "--json", "--limit", "0").out)["items"]}
    assert "mallory" not in actors
    assert "soc" not in actors


def test_the_account_is_what_the_system_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable names another account; behind `sudo` it is that of the login; a number where an account has no name."""
    own = pwd.getpwuid(os.getuid()).pw_name
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME", "SUDO_USER", "SOC_ACTOR"):
        monkeypatch.setenv(name, "le")
    login = tmp_path / "loginuid"
    monkeypatch.setattr(_session, "_LOGIN", login)
    assert _session.actor_name() == own
    for said, expected in (("4294967295", own), ("rubbish", own), ("65000000", own), (str(pwd.getpwnam("daemon").pw_uid), "daemon")):
        login.write_text(said, encoding="ascii")
        assert _session.actor_name() == expected, said
    monkeypatch.setattr(os, "getuid", lambda: 65_000_001)
    login.write_text("4294967295", encoding="ascii")
    assert _session.actor_name() == "uid-65000001"


def test_an_officers_incident_is_of_the_own_agency(as_: Callable[..., Done]) -> None:
    """Without an agency it is the officer's own; with another one's among several it is refused, and nothing is recorded."""
    done = as_("officer", "incidents", "new", "Máy lạ", "--json")
    assert json.loads(done.out)["item"]["agencies"] == ["so-yt"]
    assert as_("officer", "incidents", "new", "x", "--agency", "tt-yt", "--agency", "so-gd").code == 5
    assert len(json.loads(as_("lead", "incidents", "list", "--json").out)["items"]) == 3
