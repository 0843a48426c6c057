"""Ed25519 signatures over checkpoints of the journal. Source: RFC 8032; keys as PKCS #8 PEM (RFC 8410)."""

from __future__ import annotations

from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat, load_pem_private_key

from soc.errors import ConfigError


class SigningKey:
    """A private key; `id` names it by a hash of the public one, `public` is that in base64."""

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self._private = private
        raw = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.public = b64encode(raw).decode()
        self.id = key_id(self.public)

    @classmethod
    def generate(cls) -> SigningKey:
        """A new key, from the system's random numbers."""
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def load(cls, pem: bytes, where: str) -> SigningKey:
        """The key of a PEM file.

        Raises: ConfigError.
        """
        try:
            private = load_pem_private_key(pem, None)
        except (ValueError, TypeError) as error:
            raise ConfigError("this is no Ed25519 key in PEM", file=where, hint="restore the file from a backup, or rotate: soc audit key --rotate") from error
        if not isinstance(private, Ed25519PrivateKey):
            raise ConfigError("this key is not of the kind Ed25519", file=where, hint="restore the file from a backup, or rotate: soc audit key --rotate")
        return cls(private)

    def pem(self) -> bytes:
        """The private key as it is stored."""
        return self._private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    def sign(self, message: bytes) -> str:
        """The signature in base64."""
        return b64encode(self._private.sign(message)).decode()


def key_id(public: str) -> str:
    """The name of a public key."""
    return sha256(public.encode()).hexdigest()[:16]


def is_signed(public: str, message: bytes, signature: str) -> bool:
    """Whether the signature is that of the key over the message; False also for what is no key or signature."""
    try:
        Ed25519PublicKey.from_public_bytes(b64decode(public, validate=True)).verify(b64decode(signature, validate=True), message)
    except (InvalidSignature, ValueError, Base64Error):
        return False
    return True
