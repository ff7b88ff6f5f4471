"""An HTTP server that hears what is posted to it."""

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread


class HookReceiver(ThreadingHTTPServer):
    """Keeps what is posted; answers with `statuses` in order, the last again and again."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.got, self.statuses = [], [200]
        self.url = f"http://127.0.0.1:{self.server_port}/hook?key=s3cr3t"
        Thread(target=self.serve_forever, daemon=True).start()


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append((self.path, dict(self.headers), body))
        statuses = self.server.statuses
        self.send_response(statuses.pop(0) if len(statuses) > 1 else statuses[0])
        self.send_header("Location", "http://127.0.0.1:1/elsewhere")
        self.end_headers()

    def log_message(self, *_):
        pass
