"""Dates of commitments by a third party: requests and replies of a timestamping authority (RFC 3161), offline.

edubba calls nobody. It writes `commitment.tsq` beside commitment.json; the owner sends it to an authority, for instance

    curl -H "Content-Type: application/timestamp-query" --data-binary @commitment.tsq https://freetsa.org/tsr -o commitment.tsr

and puts the reply beside it as `commitment.tsr`. Whoever checks the reply brings the authority's root certificate from
the authority: one that lies in the evidence proves nothing.

The request's nonce is not compared: it guards a requester against an old reply, and here an older reply for the same
bytes is only better.
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from edubba.core import files
from edubba.core.errors import UserError, need
from edubba.trace import commitments

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

VERIFIED = "verified"
KEPT = "kept, not verified"
WRONG = "wrong"

HASHES = {"2.16.840.1.101.3.4.2.1": "sha256", "2.16.840.1.101.3.4.2.2": "sha384", "2.16.840.1.101.3.4.2.3": "sha512"}


@dataclass(frozen=True)
class Timestamp:
    """What a reply says, and whether it may be believed."""

    verdict: Literal["verified", "kept, not verified", "wrong"]
    """wrong: no verifier can accept it, it dates other bytes or the authority refused"""
    why: str
    """one sentence; where openssl may know more, with its command line"""
    time: datetime | None = None
    """UTC, as the reply says; None where it could not be read"""
    authority: str | None = None
    """name in the certificate that signed, RFC 4514"""

    @property
    def verified(self) -> bool:
        return self.verdict == VERIFIED


def request(content: bytes) -> bytes:
    """A request (.tsq) for a date of these bytes: SHA-256, a fresh nonce, the authority's certificate asked for."""
    client = need("rfc3161_client", extra="trace")
    builder = client.TimestampRequestBuilder().data(content).hash_algorithm(client.HashAlgorithm.SHA256)
    return builder.nonce(nonce=True).cert_request(cert_request=True).build().as_bytes()


def check(response: bytes, content: bytes, *, roots: list[bytes] | None = None, name: str = "commitment") -> Timestamp:
    """What a reply (.tsr) proves about these bytes. A fault of the reply is an answer, never an error.

    Parameters
    ----------
    response
        The reply as the authority sent it.
    content
        The dated bytes: `commitments.canonical(document)`.
    roots
        Certificates to trust, PEM (one or several in a file) or DER.
    name
        Of the files in the command line for openssl, without .json and .tsr.

    Raises
    ------
    UserError
        A root is no certificate.
    """
    client = need("rfc3161_client", extra="trace")
    trusted = [certificate for root in roots or [] for certificate in _certificates(root)]
    line = f"openssl ts -verify -data {name}.json -in {name}.tsr -CAfile ROOTS.pem"
    try:
        reply = client.decode_timestamp_response(response)
        if reply.status not in (client.PKIStatus.GRANTED, client.PKIStatus.GRANTED_WITH_MODS):
            said = "; ".join(reply.status_string)
            return Timestamp(WRONG, f"the authority refused (status {reply.status}{said and ': ' + said}): ask again")
        time, imprint = reply.tst_info.gen_time, reply.tst_info.message_imprint
        algorithm, dated = imprint.hash_algorithm.dotted_string, imprint.message
        authority = _signer(reply)
    except Exception as error:
        # a stranger's bytes make the packages raise ValueError, KeyError and errors of their own; among such replies are
        # some that openssl accepts, for rfc3161-client insists on the DER order of the certificates
        return Timestamp(KEPT, f"the reply could not be read ({error}); `{line}` may verify it")
    if algorithm in HASHES and hashlib.new(HASHES[algorithm], content).digest() != dated:
        return Timestamp(
            WRONG, "it dates other bytes than these: get a reply to the request beside them", time, authority
        )
    if not trusted:
        return Timestamp(KEPT, f"no root certificate was given; `{line}` verifies it with one", time, authority)
    try:
        client.VerifierBuilder(roots=trusted).build().verify_message(reply, content)
    except Exception as error:  # as above
        return Timestamp(KEPT, f"not under the given roots ({error}); `{line}` says more", time, authority)
    return Timestamp(VERIFIED, "signed by an authority under the given roots", time, authority)


def _certificates(content: bytes) -> "list[Certificate]":
    x509 = need("cryptography.x509", extra="trace")
    try:
        if b"-----BEGIN" in content:
            return x509.load_pem_x509_certificates(content)
        return [x509.load_der_x509_certificate(content)]
    except (ValueError, x509.InvalidVersion) as error:
        raise UserError(f"a root certificate is damaged or none ({error}): give PEM or DER files") from None


def _signer(reply: Any) -> str | None:
    """Name of the certificate that signed, where the reply carries it."""
    signers = [(signer.issuer, signer.serial_number) for signer in reply.signed_data.signer_infos]
    for content in reply.signed_data.certificates:
        certificate = need("cryptography.x509", extra="trace").load_der_x509_certificate(content)
        if (certificate.issuer, certificate.serial_number) in signers:
            return certificate.subject.rfc4514_string()
    return None


def write_request(path: str | Path) -> Path:
    """Write the request for a commitment file beside it: commitment.json gets commitment.tsq.

    Raises
    ------
    UserError
        The file is no commitment.
    """
    path = Path(path)
    return files.write(path.with_suffix(".tsq"), request(commitments.canonical(commitments.read(path))))


def check_beside(path: str | Path, *, roots: list[bytes] | None = None) -> Timestamp | None:
    """What the reply beside a commitment file proves (commitment.tsr for commitment.json); None where there is none.

    Raises
    ------
    UserError
        The file is no commitment, or a root is no certificate.
    """
    path = Path(path)
    reply = path.with_suffix(".tsr")
    if not reply.exists():
        return None
    content = commitments.canonical(commitments.read(path))
    return check(reply.read_bytes(), content, roots=roots, name=path.stem)
