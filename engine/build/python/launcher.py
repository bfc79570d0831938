"""Serves the function `handler` of handler.py in the working directory over HTTP/1.1.

A call is a POST: its body becomes handler(payload, ctx), and what handler returns becomes the answer.
GET and HEAD are answered here, so that asking whether the pod is ready never reaches the handler.

The listening socket is inherited as file descriptor 3 (LISTEN_FDS), or bound to 127.0.0.1:$PORT. One thread serves one
connection, and handler runs there; at most IGNITE_MAX_CONCURRENCY calls run at a time. TERM ends the process with
status 0 once the calls that run are answered; threads of the app that are no daemons are waited for, as Python does.

Python 3.9 or newer, standard library only. Every import here is paid for by every cold start.
"""

import json
import os
import select
import signal
import socket
import sys
import threading
import time

MAX_HEAD = 1 << 20
MAX_TEXT = 64 << 10
BLOCK = 64 << 10

BYTES = "application/octet-stream"
TEXT = "text/plain; charset=utf-8"
JSON = "application/json"
JSON_LINES = "application/x-ndjson"

HEALTHY = b'{"status":"ok"}'
NO_MORE = object()

REASONS = {
    200: "OK",
    400: "Bad Request",
    405: "Method Not Allowed",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    501: "Not Implemented",
    505: "HTTP Version Not Supported",
}


class BadRequest(Exception):
    """A request that cannot be understood: it is refused, and its connection ends."""

    def __init__(self, status, text):
        super().__init__(text)
        self.status = status


class Disconnected(Exception):
    """The caller left."""


class Request:
    """The head of a request, and how its body is framed."""

    def __init__(self, head):
        lines = head.split(b"\r\n")
        words = lines[0].split(b" ")
        if len(words) != 3:
            raise BadRequest(400, "malformed request line")
        if words[2] != b"HTTP/1.1":
            raise BadRequest(505, "this server speaks HTTP/1.1")
        self.method = words[0]
        self.headers = parse_headers(lines[1:])
        self.chunked = self.is_chunked()
        self.length = self.content_length()

    def is_chunked(self):
        coding = self.headers.get(b"transfer-encoding")
        if coding is None:
            return False
        if coding.lower() != b"chunked":
            raise BadRequest(501, "unknown Transfer-Encoding")
        if b"content-length" in self.headers:
            raise BadRequest(400, "both Content-Length and Transfer-Encoding")
        return True

    def content_length(self):
        length = self.headers.get(b"content-length", b"0")
        if not length.isdigit():
            raise BadRequest(400, "malformed Content-Length")
        return int(length)

    def wants_close(self):
        return b"close" in self.headers.get(b"connection", b"").lower()

    def wants_continue(self):
        return self.headers.get(b"expect", b"").lower() == b"100-continue"

    def context(self):
        return {
            "execution_id": self.text(b"x-ignite-execution-id"),
            "function_id": self.text(b"x-ignite-function-id"),
            "organization_id": self.text(b"x-ignite-organization-id"),
        }

    def text(self, name):
        return self.headers.get(name, b"").decode("utf-8", "replace")


def parse_headers(lines):
    headers = {}
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon or not name or name != name.strip():
            raise BadRequest(400, "malformed header line")
        name, value = name.lower(), value.strip(b" \t")
        if name == b"content-length" and headers.get(name, value) != value:
            raise BadRequest(400, "two different Content-Lengths")
        headers[name] = value
    return headers


class Reader:
    """Reads heads and bodies from a socket, and keeps what came too early."""

    def __init__(self, sock):
        self.sock = sock
        self.buffer = bytearray()

    def head(self):
        """Answers the next head without its empty line, or None if the connection ended before one began."""
        try:
            return self.until(b"\r\n\r\n", BadRequest(431, "the request's head is too large"))
        except Disconnected:
            if self.buffer:
                raise
            return None

    def until(self, end, too_long):
        seen = 0
        while True:
            at = self.buffer.find(end, seen)
            if at >= 0:
                return self.take(at, len(end))
            if len(self.buffer) > MAX_HEAD:
                raise too_long
            seen = max(len(self.buffer) - len(end) + 1, 0)
            self.buffer += self.receive(BLOCK)

    def receive(self, count):
        data = self.sock.recv(count)
        if not data:
            raise Disconnected
        return data

    def take(self, count, skip=0):
        data = bytes(self.buffer[:count])
        del self.buffer[: count + skip]
        return data

    def body(self, request):
        return self.chunks() if request.chunked else self.exactly(request.length)

    def exactly(self, count):
        # Block by block, and not into `count` reserved bytes: a number in a header must not cost memory.
        blocks = [self.take(min(count, len(self.buffer)))]
        missing = count - len(blocks[0])
        while missing:
            blocks.append(self.receive(min(missing, 16 * BLOCK)))
            missing -= len(blocks[-1])
        return blocks[0] if len(blocks) == 1 else b"".join(blocks)

    def chunks(self):
        blocks = []
        while True:
            size = chunk_size(self.line())
            if size == 0:
                break
            blocks.append(self.exactly(size))
            if self.line():
                raise BadRequest(400, "a chunk is longer than it says")
        while self.line():
            pass  # A trailer.
        return b"".join(blocks)

    def line(self):
        return self.until(b"\r\n", BadRequest(400, "a line between chunks is too long"))


def chunk_size(line):
    digits = line.partition(b";")[0].strip()
    if not digits or digits.strip(b"0123456789abcdefABCDEF"):
        raise BadRequest(400, "malformed chunk size")
    return int(digits, 16)


class Connection:
    """One connection: its thread reads a request, answers it, and reads the next."""

    def __init__(self, sock, server):
        self.sock = sock
        self.server = server
        self.reader = Reader(sock)
        self.busy = False

    def serve(self):
        try:
            while self.serve_one():
                pass
        except (Disconnected, OSError):
            pass
        finally:
            self.sock.close()
            self.server.forget(self)

    def serve_one(self):
        """Answers one request and whether the connection can take another."""
        try:
            head = self.reader.head()
            if head is None:
                return False
            self.server.begin(self)
            request = Request(head)
            self.answer(request)
        except BadRequest as error:
            self.send(error.status, TEXT, (str(error) + "\n").encode(), "Connection: close\r\n")
            return False
        return self.server.end(self) and not request.wants_close()

    def answer(self, request):
        if request.method == b"POST":
            # The slot comes first: the body of a call that waits for one stays in the kernel.
            with self.server.slots:
                self.call(request, self.payload(request))
            return
        self.payload(request)
        if request.method == b"GET":
            self.send(200, JSON, HEALTHY)
        elif request.method == b"HEAD":
            self.write(head_of(200, JSON, "Content-Length: %d\r\n" % len(HEALTHY)))
        else:
            self.send(405, TEXT, b"a function is called with POST\n", "Allow: GET, HEAD, POST\r\n")

    def payload(self, request):
        if request.wants_continue() and not self.reader.buffer:
            self.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        return self.reader.body(request)

    def call(self, request, payload):
        # BaseException: an app that calls sys.exit() fails its call, and not the pod with everybody else's calls.
        try:
            result = self.server.handler(payload, request.context())
            streamed = hasattr(type(result), "__next__")
            kind, data = next_item(result) if streamed else encode(result)
        except BaseException as error:
            self.fail(request, error)
            return
        if streamed:
            self.stream(request, result, kind, data)
        else:
            self.send(200, kind, data)

    def fail(self, request, error):
        text = report(request, error)
        body = {"error": message_of(error), "type": type(error).__name__, "traceback": text[-MAX_TEXT:]}
        self.send(500, JSON, json.dumps(body).encode())

    def stream(self, request, items, kind, item):
        """Sends every item as soon as it is there. The first one is there before the head, so that an error until
        then is still a 500; one that comes later breaks the connection, and the missing last chunk tells the caller."""
        head = head_of(200, kind, "Transfer-Encoding: chunked\r\n")
        try:
            while item is not NO_MORE:
                self.write(head + chunk_of(item))
                head = b""
                item = self.next_or_break(request, items)
            self.write(head + b"0\r\n\r\n")
        finally:
            close(items)

    def next_or_break(self, request, items):
        try:
            return next_item(items)[1]
        except BaseException as error:
            report(request, error)
        raise Disconnected

    def send(self, status, kind, body, more=""):
        head = head_of(status, kind, "Content-Length: %d\r\n%s" % (len(body), more))
        if len(body) <= BLOCK:
            self.write(head + body)
        else:
            self.write(head)
            self.write(body)

    def write(self, data):
        self.sock.sendall(data)


def head_of(status, kind, more):
    text = "HTTP/1.1 %d %s\r\nContent-Type: %s\r\n%s\r\n" % (status, REASONS[status], kind, more)
    return text.encode("latin-1")


def chunk_of(item):
    # An empty chunk would be the last one.
    return b"%x\r\n%b\r\n" % (len(item), item) if item else b""


def encode(value):
    """Answers the content type and the bytes of what handler returned."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        return BYTES, bytes(value)
    if isinstance(value, str):
        return TEXT, value.encode()
    return JSON, json.dumps(value).encode()


def next_item(items):
    """Answers the content type and the bytes of the next thing that handler yields. JSON ends with a line feed, so that
    a reader of the stream knows where a value ends."""
    value = next(items, NO_MORE)
    if value is NO_MORE:
        return BYTES, NO_MORE
    kind, data = encode(value)
    return (JSON_LINES, data + b"\n") if kind == JSON else (kind, data)


def close(items):
    """Runs the `finally` blocks of a generator that was left early."""
    try:
        getattr(items, "close", lambda: None)()
    except BaseException as error:
        sys.stderr.write("close the stream: %s" % traceback_of(error))


def report(request, error):
    """Writes the traceback to the app's log and answers it."""
    text = traceback_of(error)
    sys.stderr.write("%s: %s" % (request.text(b"x-ignite-execution-id") or "call", text))
    return text


def traceback_of(error):
    """Begins with the app's own frame, if there is one. Apps that never fail need not wait for the import at their start."""
    import traceback

    frames = error.__traceback__.tb_next or error.__traceback__
    return "".join(traceback.format_exception(type(error), error, frames))


def message_of(error):
    try:
        return str(error)[:MAX_TEXT]
    except BaseException:
        return "the exception has no text"


class Server:
    """Accepts connections until TERM, and knows which of them are busy with a request."""

    def __init__(self, listener, handler, limit):
        self.listener = listener
        self.handler = handler
        self.slots = threading.BoundedSemaphore(limit)
        self.changed = threading.Condition()
        self.connections = set()
        self.stopping = False

    def run(self):
        wake = wake_on_stop()
        self.listener.setblocking(False)
        poll = select.poll()
        poll.register(self.listener, select.POLLIN)
        poll.register(wake, select.POLLIN)
        while not stop_asked(wake):
            poll.poll()
            self.accept()
        self.stop()

    def accept(self):
        """Takes every connection that waits; also at the end, as the kernel already told those callers that they have one."""
        while True:
            try:
                sock, _ = self.listener.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as error:
                sys.stderr.write("accept a connection: %s\n" % error)
                time.sleep(0.05)  # Out of file descriptors or memory; asking again at once would only burn time.
                return
            self.start(sock)

    def start(self, sock):
        sock.setblocking(True)
        if sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = Connection(sock, self)
        with self.changed:
            self.connections.add(connection)
        try:
            threading.Thread(target=connection.serve, daemon=True).start()
        except RuntimeError as error:
            sys.stderr.write("start a thread for a connection: %s\n" % error)
            sock.close()
            self.forget(connection)

    def begin(self, connection):
        with self.changed:
            connection.busy = True

    def end(self, connection):
        """Answers whether the connection may go on."""
        with self.changed:
            connection.busy = False
            return not self.stopping

    def forget(self, connection):
        with self.changed:
            self.connections.discard(connection)
            self.changed.notify()

    def stop(self):
        """Returns when everybody is answered. A connection that waits for its next request sees its end; what already
        came in on it can still be read and is answered."""
        self.listener.close()
        with self.changed:
            self.stopping = True
            for connection in self.connections:
                if not connection.busy:
                    end_input(connection.sock)
            while self.connections:
                self.changed.wait()


def end_input(sock):
    try:
        sock.shutdown(socket.SHUT_RD)
    except OSError:
        pass  # The caller was faster.


def wake_on_stop():
    """Answers a socket that can be read when TERM or INT came. A Python handler alone would run, but wake nobody."""
    receiver, sender = socket.socketpair()
    receiver.setblocking(False)
    sender.setblocking(False)
    signal.set_wakeup_fd(sender.detach(), warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    return receiver


def stop_asked(wake):
    # Other signals that the app handles are heard here too.
    try:
        numbers = wake.recv(BLOCK)
    except BlockingIOError:
        return False
    return signal.SIGTERM in numbers or signal.SIGINT in numbers


def listen():
    if os.environ.pop("LISTEN_FDS", "0") == "0":
        return socket.create_server(("127.0.0.1", int(os.environ["PORT"])), backlog=1024)
    os.environ.pop("LISTEN_PID", None)
    listener = socket.socket(fileno=3)
    listener.set_inheritable(False)
    return listener


def paths():
    """Answers where the app's modules are: its own files come first, then its requirements, then what Python has."""
    code = os.getcwd()
    return [code, os.path.join(code, ".ignite-packages")]


def load():
    """Imports handler.py."""
    sys.path[0:1] = paths()
    import handler

    function = getattr(handler, "handler", None)
    if not callable(function):
        sys.exit("handler.py has no function handler(payload, ctx)")
    return function


def end_when_told():
    """Lets TERM end the process before it serves. The first process of a PID namespace ignores what it has no handler for."""
    if os.getpid() == 1:
        signal.signal(signal.SIGTERM, lambda number, _: os._exit(128 + number))


def main():
    end_when_told()
    # The socket comes first: whoever probes $PORT is told "not yet" by the kernel's queue, and not refused.
    listener = listen()
    limit = int(os.environ.get("IGNITE_MAX_CONCURRENCY", "80"))
    Server(listener, load(), limit).run()


if __name__ == "__main__":
    main()
