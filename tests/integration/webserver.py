# SPDX-License-Identifier: MIT
"""A web server of a test on any loopback address, whose answers can be changed while it runs."""

import http.server
import threading
import time


class WebServer:
    def __init__(self, address="127.0.0.1", port=0, text="welcome", status=200):
        self.text, self.status, self.delay, self.lose = text, status, 0, lambda: False
        self.hosts = []  # the Host of each request
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                outer.hosts.append(self.headers["Host"])
                time.sleep(outer.delay)
                if outer.lose():
                    self.close_connection = True
                    return
                body = outer.text.encode()
                self.send_response(outer.status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer((address, port), Handler)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *args: None  # a client that has seen enough
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()
