"""Timestamps: against an authority that openssl makes here and now, so that no certificate can expire."""

import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from edubba.core.errors import UserError
from edubba.trace import commitments, timestamps
from edubba.trace.keys import Key

openssl = pytest.mark.skipif(
    shutil.which("openssl") is None, reason="makes its authority with openssl, which is not here"
)

CONFIGURATION = """
[req]
distinguished_name = dn
[dn]
[ca]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign
[signer]
extendedKeyUsage = critical, timeStamping
keyUsage = critical, digitalSignature
[tsa]
default_tsa = t
[t]
serial = serial
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256, sha512
accuracy = secs:1
"""
LONG = "An authority with a name so long that it comes last"
"""DER sorts a set by the bytes of its members, and those begin with their length: the name decides the order"""


def run(folder, line):
    return subprocess.run(["openssl", *line.split("|")], cwd=folder, capture_output=True, text=True, check=False)


def made(folder, line):
    done = run(folder, line)
    assert done.returncode == 0, done.stderr
    return done


class Authority:
    """Roots, authorities under them and one under an intermediate, as openssl makes them."""

    def __init__(self, folder: Path):
        self.folder = folder
        (folder / "c.cnf").write_text(CONFIGURATION)
        (folder / "serial").write_text("01\n")
        self._certificate("root", "Root", None, "ca")
        self._certificate("other", "Another root", None, "ca")
        self._certificate("broad", LONG, None, "ca")
        self._certificate("middle", "Middle", "broad", "ca")
        self._certificate("short", "Clock", "middle", "signer")
        self._certificate("long", LONG + "!", "root", "signer")
        self._certificate("plain", "Clock", "root", "signer")

    def _certificate(self, name, subject, issuer, extensions):
        key = f"-newkey|ec|-pkeyopt|ec_paramgen_curve:prime256v1|-noenc|-keyout|{name}.key"
        signed = f"-CA|{issuer}.pem|-CAkey|{issuer}.key" if issuer else "-days|2"
        line = f"req|-x509|{key}|{signed}|-subj|/O=edubba/CN={subject}|-config|c.cnf|-extensions|{extensions}"
        made(self.folder, f"{line}|-out|{name}.pem")

    def reply(self, request, signer="plain", chain=None):
        (self.folder / "q.tsq").write_bytes(request)
        line = f"ts|-reply|-config|c.cnf|-queryfile|q.tsq|-signer|{signer}.pem|-inkey|{signer}.key|-out|r.tsr"
        made(self.folder, line + (f"|-chain|{chain}.pem" if chain else ""))
        return (self.folder / "r.tsr").read_bytes()

    def pem(self, name):
        return (self.folder / f"{name}.pem").read_bytes()


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


CONTENT = b'{"a":1}'


@openssl
def test_a_request_as_openssl_reads_it(tmp_path):
    (tmp_path / "c").write_bytes(CONTENT)
    (tmp_path / "q.tsq").write_bytes(timestamps.request(CONTENT))
    made(tmp_path, "ts|-query|-data|c|-sha256|-cert|-out|own.tsq")

    def shown(name):
        return made(tmp_path, f"ts|-query|-in|{name}|-text").stdout.splitlines()

    mine, theirs = shown("q.tsq"), shown("own.tsq")
    assert [line for line in mine if "Nonce" not in line] == [line for line in theirs if "Nonce" not in line]
    assert "Hash Algorithm: sha256" in mine
    assert "Certificate required: yes" in mine
    assert any(line.startswith("Nonce: 0x") for line in mine)
    assert timestamps.request(CONTENT) != timestamps.request(CONTENT)


@openssl
def test_a_good_reply_is_verified(authority):
    before = datetime.now(UTC) - timedelta(seconds=2)
    reply = authority.reply(timestamps.request(CONTENT))
    stamp = timestamps.check(reply, CONTENT, roots=[authority.pem("root")])
    assert stamp.verified
    assert stamp.verdict == "verified"
    assert stamp.authority == "CN=Clock,O=edubba"
    assert stamp.time is not None
    assert before < stamp.time < datetime.now(UTC) + timedelta(seconds=2)
    der = subprocess.run(
        ["openssl", "x509", "-outform", "DER"], input=authority.pem("root"), capture_output=True, check=True
    ).stdout
    both = authority.pem("other") + authority.pem("root")
    for roots in ([der], [both], [authority.pem("other"), der]):
        assert timestamps.check(reply, CONTENT, roots=roots) == stamp


@openssl
def test_a_request_of_openssl_with_another_hash_is_as_good(authority, tmp_path):
    (tmp_path / "c").write_bytes(CONTENT)
    made(tmp_path, "ts|-query|-data|c|-sha512|-cert|-out|q.tsq")
    reply = authority.reply((tmp_path / "q.tsq").read_bytes())
    assert timestamps.check(reply, CONTENT, roots=[authority.pem("root")]).verified
    assert timestamps.check(reply, CONTENT + b" ", roots=[authority.pem("root")]).verdict == "wrong"


@openssl
def test_what_is_not_verified_and_why(authority):
    request = timestamps.request(CONTENT)
    reply = authority.reply(request)
    good = timestamps.check(reply, CONTENT, roots=[authority.pem("root")])
    for roots in (None, []):
        stamp = timestamps.check(reply, CONTENT, roots=roots)
        assert (stamp.verdict, stamp.time, stamp.authority) == ("kept, not verified", good.time, good.authority)
        assert not stamp.verified
        assert "no root certificate was given" in stamp.why
    stamp = timestamps.check(reply, CONTENT, roots=[authority.pem("other")])
    assert stamp.verdict == "kept, not verified"
    assert "not under the given roots" in stamp.why
    for roots in (None, [authority.pem("root")]):
        stamp = timestamps.check(reply, CONTENT + b"\n", roots=roots)
        assert stamp.verdict == "wrong"
        assert "dates other bytes" in stamp.why
    for garbage in (b"", b"<html>503</html>", request, reply[:-1]):
        stamp = timestamps.check(garbage, CONTENT, roots=[authority.pem("root")])
        assert (stamp.verdict, stamp.time) == ("kept, not verified", None)
        assert "could not be read" in stamp.why
    with pytest.raises(UserError, match="give PEM or DER"):
        timestamps.check(reply, CONTENT, roots=[b"none"])
    with pytest.raises(UserError, match="give PEM or DER"):
        timestamps.check(reply, CONTENT, roots=[b"-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n"])


@openssl
def test_a_refusal_is_wrong(authority, tmp_path):
    (tmp_path / "c").write_bytes(CONTENT)
    made(tmp_path, "ts|-query|-data|c|-sha384|-out|q.tsq")  # a hash that this authority does not take
    stamp = timestamps.check(authority.reply((tmp_path / "q.tsq").read_bytes()), CONTENT)
    assert stamp.verdict == "wrong"
    assert "refused (status 2: Message digest algorithm is not supported" in stamp.why


@openssl
def test_a_chain_in_the_order_of_der_is_verified(authority):
    reply = authority.reply(timestamps.request(CONTENT), "short", chain="middle")
    stamp = timestamps.check(reply, CONTENT, roots=[authority.pem("broad")])
    assert stamp.verified
    assert stamp.authority == "CN=Clock,O=edubba"
    assert not timestamps.check(reply, CONTENT, roots=[authority.pem("other")]).verified
    lone = authority.reply(timestamps.request(CONTENT), "short")
    assert not timestamps.check(lone, CONTENT, roots=[authority.pem("broad")]).verified


@openssl
def test_a_chain_in_another_order_is_kept_and_openssl_verifies_it(authority, tmp_path):
    reply = authority.reply(timestamps.request(CONTENT), "long", chain="root")
    stamp = timestamps.check(reply, CONTENT, roots=[authority.pem("root")], name="seal")
    assert stamp.verdict == "kept, not verified"
    assert "InvalidSetOrdering" in stamp.why
    line = stamp.why.split("`")[1]
    assert line == "openssl ts -verify -data seal.json -in seal.tsr -CAfile ROOTS.pem"
    (tmp_path / "seal.json").write_bytes(CONTENT)
    (tmp_path / "seal.tsr").write_bytes(reply)
    (tmp_path / "ROOTS.pem").write_bytes(authority.pem("root"))
    assert "Verification: OK" in made(tmp_path, line.removeprefix("openssl ").replace(" ", "|")).stdout
    (tmp_path / "seal.json").write_bytes(CONTENT + b"!")
    assert run(tmp_path, line.removeprefix("openssl ").replace(" ", "|")).returncode != 0


@openssl
def test_no_flipped_byte_moves_the_date_or_raises(authority):
    reply = authority.reply(timestamps.request(CONTENT))
    roots = [authority.pem("root")]
    good = timestamps.check(reply, CONTENT, roots=roots)
    for i in range(len(reply)):
        stamp = timestamps.check(reply[:i] + bytes([reply[i] ^ 1]) + reply[i + 1 :], CONTENT, roots=roots)
        assert not stamp.verified or stamp == good  # a few bytes name algorithms that openssl does not read


@openssl
def test_files_beside_a_commitment(authority, tmp_path):
    path = tmp_path / "owner.trace" / "commitment.json"
    key = Key(bytes(range(32)), ("public", "reserve"), "2026")
    document = commitments.first(key, classes=["a", "b"], originals={}, configuration={}, networks={})
    commitments.write(path, document)
    tsq = timestamps.write_request(path)
    assert tsq == path.with_name("commitment.tsq")
    assert timestamps.check_beside(path) is None
    path.with_name("commitment.tsr").write_bytes(authority.reply(tsq.read_bytes()))
    stamp = timestamps.check_beside(path, roots=[authority.pem("root")])
    assert stamp is not None
    assert stamp.verified
    # the file as it lies there is what openssl dates
    (path.parent / "ROOTS.pem").write_bytes(authority.pem("root"))
    kept = timestamps.check_beside(path)
    assert kept is not None
    line = kept.why.split("`")[1]
    assert "Verification: OK" in made(path.parent, line.removeprefix("openssl ").replace(" ", "|")).stdout
    path.unlink()
    commitments.write(path, {**document, "created": "2027"})
    stamp = timestamps.check_beside(path, roots=[authority.pem("root")])
    assert stamp is not None
    assert stamp.verdict == "wrong"


def test_without_the_packages_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "rfc3161_client", None)
    monkeypatch.setitem(sys.modules, "rfc8785", None)
    for call in (
        lambda: timestamps.request(CONTENT),
        lambda: timestamps.check(b"", CONTENT),
        lambda: commitments.digest(1),
    ):
        with pytest.raises(UserError, match=r"edubba\[trace\]"):
            call()
