"""A mail server that keeps what it is given: SMTP (RFC 5321), and STARTTLS (RFC 3207) where it has a certificate."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from socketserver import StreamRequestHandler, ThreadingTCPServer


@dataclass
class Mail:
    port: int = 0
    got: list[bytes] = field(default_factory=list)
    to: list[str] = field(default_factory=list)
    encrypted: list[bool] = field(default_factory=list)
    """Of each message, whether it came by TLS."""


class Spoken(StreamRequestHandler):
    """One client, line by line."""

    mail: Mail
    tls: ssl.SSLContext | None
    safe = False

    def handle(self) -> None:
        self.say("220 here")
        while line := self.rfile.readline().decode().strip():
            if getattr(self, "smtp_" + line.split()[0].lower(), self.smtp_other)(line):
                return

    def finish(self) -> None:
        super().finish()
        self.request.close()

    def say(self, line: str) -> None:
        self.wfile.write(line.encode() + b"\r\n")

    def smtp_ehlo(self, _line: str) -> None:
        self.say("250-here")
        self.say("250 STARTTLS" if self.tls and not self.safe else "250 8BITMIME")

    def smtp_starttls(self, _line: str) -> bool:
        """Whether that was the end: the client does not believe the certificate."""
        assert self.tls is not None
        self.say("220 go on")
        self.rfile.close()
        try:
            self.request = self.tls.wrap_socket(self.request, server_side=True)
        except OSError:
            return True
        self.setup()
        self.safe = True
        return False

    def smtp_rcpt(self, line: str) -> None:
        self.mail.to.append(line.partition("<")[2].partition(">")[0])
        self.say("250 yes")

    def smtp_data(self, _line: str) -> None:
        self.say("354 go on")
        lines = list[bytes]()
        while (line := self.rfile.readline()) not in (b".\r\n", b""):
            lines.append(line)
        self.mail.got.append(b"".join(lines))
        self.mail.encrypted.append(self.safe)
        self.say("250 kept")

    def smtp_quit(self, _line: str) -> bool:
        self.say("221 bye")
        return True

    def smtp_other(self, _line: str) -> None:
        self.say("250 yes")


@contextmanager
def serve(pem: Path | None = None) -> Iterator[Mail]:
    """`pem`: its key and certificate."""
    mail, tls = Mail(), None
    if pem is not None:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(pem)
    server = ThreadingTCPServer(("127.0.0.1", 0), type("Handler", (Spoken,), {"mail": mail, "tls": tls}))
    server.daemon_threads = True
    mail.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield mail
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
