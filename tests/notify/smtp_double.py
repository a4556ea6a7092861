"""A mail server that answers as it is told to, where a real one does not fail on demand."""

import socketserver
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Thread

USUAL = {
    "EHLO": "250-double\r\n250 SIZE 1000000",
    "MAIL": "250 fine",
    "RCPT": "250 fine",
    "DATA": "354 go on",
    ".": "250 taken",
    "QUIT": "221 bye",
}
CUT = "cut"
"""Said instead of an answer: the connection ends."""


@dataclass
class Double:
    port: int
    answers: Mapping[str, str]
    said: list[str] = field(default_factory=list)
    mails: list[str] = field(default_factory=list)


@contextmanager
def answering(**answers: str) -> Iterator[Double]:
    """A server that answers commands as usual, but for those that are named."""
    double = Double(port=0, answers={**USUAL, **answers})

    class Handler(socketserver.StreamRequestHandler):
        def handle(self):
            greeting = double.answers.get("HELLO", "220 double")
            self.say(greeting)
            for line in self.rfile:
                words = line.decode("latin-1").split()
                command = words[0].upper() if words else ""
                whole = line.decode("latin-1").strip().upper()
                double.said.append(command)
                if not self.say(
                    double.answers.get(whole) or double.answers.get(command, "502 what?")
                ):
                    return
                if command == "DATA" and double.answers["DATA"].startswith("354"):
                    double.mails.append(self.mail())
                    if not self.say(double.answers["."]):
                        return
                if command == "QUIT":
                    return

        def mail(self) -> str:
            lines = []
            for line in self.rfile:
                if line == b".\r\n":
                    break
                lines.append(line.decode("utf-8"))
            return "".join(lines)

        def say(self, answer: str) -> bool:
            if answer == CUT:
                return False
            self.wfile.write(f"{answer}\r\n".encode())
            return True

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        double.port = server.server_address[1]
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield double
        finally:
            server.shutdown()
            thread.join()
