"""The key file that signs checkpoints: PEM, readable by its owner only, beside the store or where the settings say."""

from __future__ import annotations

import os
from pathlib import Path

from soc.errors import ConfigError, NotAllowed, Phrase
from soc.model.signing import SigningKey

FILE = "journal-key.pem"
_OTHERS = 0o077
_MOST_BYTES = 16_384


def load_key(folder: Path) -> SigningKey | None:
    """The key of a folder; None when there is none.

    Raises: ConfigError for a file that is no key, NotAllowed for one that others may read.
    """
    path = folder / FILE
    try:
        if path.stat().st_mode & _OTHERS:
            raise NotAllowed(
                Phrase("{path} may be read by others", path=path), hint=Phrase("chmod 600 {path}; if others had it: soc audit key --rotate", path=path)
            )
        with path.open("rb") as file:
            return SigningKey.load(file.read(_MOST_BYTES), str(path))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError(Phrase("the key cannot be read: {strerror}", strerror=error.strerror), file=str(path), hint="run as the user that made it") from error


def make_key(folder: Path) -> SigningKey:
    """A new key, durably written before it is handed out; an old one is kept beside it under its id.

    Raises: NotAllowed.
    """
    key = SigningKey.generate()
    write_key(folder, key)
    return key


def write_key(folder: Path, key: SigningKey) -> None:
    """Write a key durably, for its owner only; another one that is there is kept beside it under its id.

    Raises: NotAllowed.
    """
    path, new = folder / FILE, folder / f"{FILE}.{os.getpid()}.new"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
            file.write(key.pem())
            file.flush()
            os.fsync(file.fileno())
        before = load_key(folder)
        if before is not None:
            os.link(path, folder / f"journal-key-{before.id}.pem")
        new.replace(path)
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise NotAllowed(Phrase("{path} cannot be written: {strerror}", path=path, strerror=error.strerror), hint="check the rights on the folder") from error
    finally:
        new.unlink(missing_ok=True)
