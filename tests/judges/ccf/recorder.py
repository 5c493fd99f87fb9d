"""Plays just enough of a CCF for our commands to speak, and keeps every signed message that it gets.

    recorder.py FOLDER    prints {"endpoint", "service_cert"}, then serves until its standard input ends

Message number n lies in FOLDER/<n>.cose, what it came with in FOLDER/<n>.json.
"""

import datetime
import ipaddress
import json
import ssl
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

FOLDER = Path(sys.argv[1])
PROPOSAL = "0123456789abcdef" * 4
NUMBERS = count()


def named(name):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def certificate(subject, key, issuer, issuer_key, extension, critical):
    now = datetime.datetime.now(datetime.timezone.utc)
    builder = x509.CertificateBuilder(
        subject_name=named(subject),
        issuer_name=named(issuer),
        public_key=key.public_key(),
        serial_number=x509.random_serial_number(),
        not_valid_before=now - datetime.timedelta(hours=1),
        not_valid_after=now + datetime.timedelta(days=1),
    )
    built = builder.add_extension(extension, critical).sign(issuer_key, hashes.SHA384())
    return built.public_bytes(serialization.Encoding.PEM)


def tls():
    """A node certificate under a service identity, as CCF has them."""
    service_key, node_key = (ec.generate_private_key(ec.SECP384R1()) for _ in range(2))
    constraints = x509.BasicConstraints(ca=True, path_length=None)
    service = certificate("CCF Network", service_key, "CCF Network", service_key, constraints, True)
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    node = certificate("CCF Node", node_key, "CCF Network", service_key, names, False)
    key = node_key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (FOLDER / "service.pem").write_bytes(service)
    (FOLDER / "node.pem").write_bytes(node + key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(FOLDER / "node.pem")
    return context


def answer(path):
    if path == "/app/tx":
        return {"transaction_id": "2.9", "status": "Committed"}
    if path.endswith("/actions"):
        return {"actions": []}
    if path.endswith(":update"):
        return {"memberId": path.rsplit("/", 1)[1].split(":")[0], "stateDigest": "ab" * 32}
    if path.endswith(":ack"):
        return None
    return {"proposalId": PROPOSAL, "proposalState": "Open"}


class Ccf(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.reply(answer(urlsplit(self.path).path))

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        number = next(NUMBERS)
        (FOLDER / f"{number}.cose").write_bytes(body)
        came = {"path": self.path, "content_type": self.headers["content-type"]}
        (FOLDER / f"{number}.json").write_text(json.dumps(came))
        self.reply(answer(urlsplit(self.path).path))

    def reply(self, value):
        body = b"" if value is None else json.dumps(value).encode()
        self.send_response(204 if value is None else 200)
        self.send_header("x-ms-ccf-transaction-id", "2.9")
        if body:
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Server(ThreadingHTTPServer):
    daemon_threads = True
    context = tls()

    def finish_request(self, request, client_address):
        # In the connection's own thread: a client that never speaks holds up nobody else.
        request.settimeout(60)
        with self.context.wrap_socket(request, server_side=True) as stream:
            super().finish_request(stream, client_address)

    def handle_error(self, request, client_address):
        pass


server = Server(("127.0.0.1", 0), Ccf)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(
    json.dumps(
        {
            "endpoint": f"https://127.0.0.1:{server.server_port}",
            "service_cert": str(FOLDER / "service.pem"),
        }
    ),
    flush=True,
)
sys.stdin.read()
