"""The authorities that invokers trust: the system's, or those that `SSL_CERT_FILE` names."""

import asyncio
import ssl
import sys
from asyncio.subprocess import PIPE
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.support.dev import outer_environment
from tests.support.raw_server import raw_server, sends

pytestmark = pytest.mark.slow  # starts processes

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nprivate!"

# A process of its own, as a worker is: certificates are read once.
CALL = """
import asyncio, sys
from app.invokers.invoker import InvocationContext, InvokerError
from app.invokers.pool import Invokers
from app.settings import LlmSettings

async def main():
    invokers = Invokers(LlmSettings(), ["127.0.0.0/8"])
    http = invokers.resolve("http", {"base_url": sys.argv[1]})
    try:
        print((await http.invoke("x", InvocationContext("stp_1"))).text)
    except InvokerError as error:
        print(error)

asyncio.run(main())
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an authority of our own, and the certificate and key of a server."""
    place = tmp_path_factory.mktemp("authority")
    authority_key, server_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    authority = _certificate("authority", authority_key, "authority", authority_key)
    server = _certificate("server", server_key, "authority", authority_key)
    pem = serialization.Encoding.PEM
    (place / "authority.pem").write_bytes(authority.public_bytes(pem))
    (place / "server.pem").write_bytes(
        server.public_bytes(pem)
        + server_key.private_bytes(
            pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    (place / "empty.pem").write_text("# no certificate\n")
    return place


def _certificate(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: str,
    issuer_key: ec.EllipticCurvePrivateKey,
) -> x509.Certificate:
    def named(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])

    now = datetime.now(UTC)
    here = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    return (
        x509.CertificateBuilder()
        .subject_name(named(name))
        .issuer_name(named(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=name == issuer, path_length=None), critical=True)
        .add_extension(here, critical=False)
        .sign(issuer_key, hashes.SHA256())
    )


async def call(url: str, **environment: str) -> tuple[str, str]:
    """What a process says on both outputs that starts its invokers and calls a server."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", CALL, url),
        env=outer_environment(environment),
        stdout=PIPE,
        stderr=PIPE,
    )
    said, faults = await process.communicate()
    return said.decode(), faults.decode()


async def test_a_server_of_a_private_authority_is_reached_where_that_is_named(place: Path) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(place / "server.pem")
    async with raw_server(sends(OK), tls=tls) as (port, requests):
        url = f"https://127.0.0.1:{port}"
        (named, _), (unnamed, _) = await asyncio.gather(
            call(url, SSL_CERT_FILE=str(place / "authority.pem")), call(url)
        )

    assert named == "private!\n"
    assert "certificate" in unnamed
    assert len(requests) == 1


@pytest.mark.parametrize(
    ("file", "says"), [("nowhere.pem", "No such file"), ("empty.pem", "no certificate")]
)
async def test_certificates_that_cannot_be_read_are_refused_at_start(
    place: Path, file: str, says: str
) -> None:
    said, faults = await call("https://127.0.0.1:1", SSL_CERT_FILE=str(place / file))

    assert said == ""
    assert "CertificatesError: SSL_CERT_FILE: the certificates cannot be read: " in faults
    assert says.lower() in faults.splitlines()[-1].lower()
