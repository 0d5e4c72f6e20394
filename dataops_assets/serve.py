"""`dataops ui`: Dagster's webserver and daemon, and the report pages on the port beside it. Loopback only: there is no login."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

from dataops_assets import runs
from dataops_assets.home import Home

HOST = "127.0.0.1"
END_S = 30.0
POLICY = "default-src 'none'; img-src data: 'self'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


class Reports(SimpleHTTPRequestHandler):
    """Files below `reports/`, read-only; a page can run nothing and load nothing from elsewhere."""

    def end_headers(self) -> None:
        self.send_header("Content-Security-Policy", POLICY)
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Referrer-Policy", "no-referrer")
        super().end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: people read the UI, not this terminal."""


def serve(home: Home, port: int) -> int:
    """Run until interrupted; returns Dagster's exit code."""
    runs.prepare(home)
    folder = home.root / "reports"
    try:
        server = ThreadingHTTPServer((HOST, port + 1), partial(Reports, directory=os.fspath(folder)))
    except OSError as error:
        print(f"Port {port + 1} for the report pages is taken ({error.strerror}); choose another with --port.", file=sys.stderr)
        return 2
    threading.Thread(target=server.serve_forever, daemon=True).start()
    environment = {**os.environ, "DATAOPS_REPORTS_URL": f"http://{HOST}:{port + 1}"}
    command = [sys.executable, "-m", "dagster", "dev", "-m", "dataops_assets.definitions", "-h", HOST, "-p", str(port)]
    print(f"Dagster: http://{HOST}:{port}   Reports: http://{HOST}:{port + 1}   Home: {home.root}   (Ctrl-C ends both)", flush=True)
    is_asked = threading.Event()
    # before the child starts: a signal that has a handler here is at its default there, even where a shell ignored it
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, frame: is_asked.set())
    # a session of its own: `dagster dev` starts servers that must all end with it
    child = subprocess.Popen(command, env=environment, cwd=home.root, start_new_session=True)
    try:
        while child.poll() is None and not is_asked.wait(0.5):
            pass
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGINT)
            child.wait(END_S)
        return 0 if is_asked.is_set() else int(child.returncode)
    except subprocess.TimeoutExpired:
        return 1
    finally:
        server.shutdown()
        try:
            os.killpg(child.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
