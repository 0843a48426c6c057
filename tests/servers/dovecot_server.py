"""A real IMAP server (dovecot) with one mailbox, on free ports of loopback, for the tests that read mailboxes."""

from __future__ import annotations

import imaplib
import os
import pwd
import shutil
import ssl
import tempfile
from pathlib import Path

import trustme

from tests.servers.process import WITHIN_S, Process, Server, free_port

USER, PASSWORD = "soc", "mật-khẩu"
_PLACES = ("/usr/sbin/dovecot", "/usr/local/sbin/dovecot")


def program() -> str:
    """The path of the server ("" = it is not installed: `scripts/install_debian_packages.sh` does)."""
    return shutil.which("dovecot") or next((place for place in _PLACES if os.access(place, os.X_OK)), "")


class DovecotServer(Server):
    """Plain and TLS ports; mails in a Maildir that outlives a restart."""

    name = "dovecot"

    def __init__(self) -> None:
        # Not below pytest's folder, which only its owner may enter: as root the server takes other users for its parts.
        super().__init__(Path(tempfile.mkdtemp(prefix="soc-imap-")))
        self.folder.chmod(0o755)
        self.port, self.tls_port = free_port(), free_port()
        self.ca = self.folder / "ca.pem"
        self._master: Process | None = None
        self._prepare()

    def _prepare(self) -> None:
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(self.ca))
        authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(self.folder / "server.pem"))
        root = os.getuid() == 0
        me = pwd.getpwnam("nobody") if root else pwd.getpwuid(os.getuid())
        mails = self.folder / "mails"
        mails.mkdir()
        if root:
            os.chown(mails, me.pw_uid, me.pw_gid)
        users = "" if root else f"default_internal_user = {me.pw_name}\ndefault_login_user = {me.pw_name}\n"
        (self.folder / "users").write_text(f"{USER}:{{PLAIN}}{PASSWORD}:{me.pw_uid}:{me.pw_gid}::{self.folder}\n", encoding="utf-8")
        (self.folder / "dovecot.conf").write_text(
            f"""protocols = imap
listen = 127.0.0.1
base_dir = {self.folder}/run
log_path = {self.folder}/dovecot.log
{users}first_valid_uid = 1
disable_plaintext_auth = no
mail_location = maildir:{mails}
mailbox_list_index = no
ssl = yes
ssl_cert = <{self.folder}/server.pem
ssl_key = <{self.folder}/server.pem
passdb {{
  driver = passwd-file
  args = {self.folder}/users
}}
userdb {{
  driver = passwd-file
  args = {self.folder}/users
}}
service anvil {{
  chroot =
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {self.port}
  }}
  inet_listener imaps {{
    port = {self.tls_port}
    ssl = yes
  }}
}}
""",
            encoding="utf-8",
        )

    def _launch(self) -> Process:
        self._master = Process([program(), "-F", "-c", str(self.folder / "dovecot.conf")], log=self.log)
        return self._master

    def kill(self) -> None:
        """End it with its children, which would serve their clients on."""
        if self._master is not None:
            self._master.kill_group()
            self._master = None
        super().kill()

    def _answers(self) -> bool:
        try:
            with imaplib.IMAP4("127.0.0.1", self.port, timeout=10) as client:
                client.authenticate("PLAIN", lambda _: f"\0{USER}\0{PASSWORD}".encode())
        except (OSError, imaplib.IMAP4.error):
            return False
        return True

    def deliver(self, *mails: bytes, folder: str = "INBOX") -> None:
        """Put mails into the mailbox."""
        with imaplib.IMAP4_SSL("127.0.0.1", self.tls_port, ssl_context=ssl.create_default_context(cafile=str(self.ca)), timeout=WITHIN_S) as client:
            client.authenticate("PLAIN", lambda _: f"\0{USER}\0{PASSWORD}".encode())
            for mail in mails:
                status, said = client.append(folder, "", imaplib.Time2Internaldate(1_795_222_800), mail)
                assert status == "OK", said

    def do(self, *words: str) -> list[bytes]:
        """The answer to one command of a client that selected INBOX."""
        with imaplib.IMAP4("127.0.0.1", self.port, timeout=WITHIN_S) as client:
            client.authenticate("PLAIN", lambda _: f"\0{USER}\0{PASSWORD}".encode())
            client.select("INBOX")
            status, found = client.uid(*words) if words[0] in ("STORE", "FETCH", "SEARCH") else getattr(client, words[0].lower())(*words[1:])
            assert status == "OK", found
            return [one for one in found if isinstance(one, bytes)]
