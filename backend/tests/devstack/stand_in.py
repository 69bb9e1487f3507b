"""A product small enough to start in no time: what `taskapi` is to `./run`, for the tests of `./run` itself."""

import http.server
import os
import signal
import sys
import time


class Always(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass


def main(command):
    stubborn, failing = (os.environ.get(name, "").split() for name in ("STUBBORN", "FAILING"))
    signal.signal(signal.SIGTERM, signal.SIG_IGN if command in stubborn else lambda *_: os._exit(0))
    if command in failing:
        sys.exit(3)
    if command == "migrate":
        sys.exit(0)
    pool = os.fork() if command == "worker" else None  # a worker has processes of its own
    if pool:
        print(f"pool of one: {pool}", flush=True)
    elif command == "serve":
        http.server.HTTPServer((os.environ["HOST"], int(os.environ["PORT"])), Always).serve_forever()
    while True:
        time.sleep(60)


main(sys.argv[1])
