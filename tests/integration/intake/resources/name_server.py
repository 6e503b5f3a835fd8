"""A DNS server that knows the TXT records it is told, over UDP."""

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import dns.flags
import dns.message
import dns.rcode
import dns.rrset


class NameServer(socketserver.UDPServer):
    """Answers what is in `records`; a name in `silent` gets no answer."""

    records: dict[str, list[str]]
    silent: set[str]

    @property
    def place(self) -> str:
        address, port = self.socket.getsockname()
        return f"{address}:{port}"


class _Answer(socketserver.BaseRequestHandler):
    server: NameServer

    def handle(self) -> None:
        data, socket = self.request
        query = dns.message.from_wire(data)
        name = query.question[0].name.to_text(omit_final_dot=True)
        if name in self.server.silent:
            return
        response = dns.message.make_response(query)
        response.flags |= dns.flags.RA
        texts = self.server.records.get(name)
        if texts is None:
            response.set_rcode(dns.rcode.NXDOMAIN)
        else:
            quoted = [f'"{text}"' for text in texts]
            response.answer.append(dns.rrset.from_text(f"{name}.", 60, "IN", "TXT", *quoted))
        socket.sendto(response.to_wire(), self.client_address)


@contextmanager
def name_server() -> Iterator[NameServer]:
    """Serve on a free port."""
    with NameServer(("127.0.0.1", 0), _Answer) as server:
        server.records, server.silent = {}, set()
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
