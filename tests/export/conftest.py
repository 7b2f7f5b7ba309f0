"""Scripts of `export/`, which is no package, as modules, and its pages in headless Chromium."""

import functools
import http.server
import importlib.util
import json
import shutil
import subprocess
import threading
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "export"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture
def script(request):
    """The script whose name a module of tests has in `SCRIPT`."""
    spec = importlib.util.spec_from_file_location(
        f"export_{request.module.SCRIPT}", FOLDER / f"{request.module.SCRIPT}.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves the pages, the answers of a test, and takes what the harness found."""

    def do_GET(self):
        name = self.path.lstrip("/")
        if name in self.server.answers:
            body = self.server.answers[name]
            self.send_response(200)
            self.send_header("Content-Type", "text/html" if name.endswith(".html") else "application/octet-stream")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        else:
            super().do_GET()

    def do_POST(self):
        self.server.found = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(204)
        self.end_headers()
        self.server.done.set()

    def log_message(self, *args):
        pass


@pytest.fixture
def browse(tmp_path):
    """Opens a harness beside the pages of export/browser, with files of `{name: bytes}`; returns what it found."""
    if CHROMIUM is None:
        pytest.skip("there is no chromium: apt-get install chromium")
    if not (FOLDER / "browser" / "node_modules").is_dir():
        pytest.skip("there is no runtime: run `npm install` in export/browser")

    def browse(harness, answers):
        handler = functools.partial(Handler, directory=FOLDER / "browser")
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        server.done, server.found = threading.Event(), None
        server.answers = {harness: Path(__file__).with_name(harness).read_bytes(), **answers}
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/{harness}"
        # Without a network: every name but this machine's is unknown.
        options = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
        ]
        process = subprocess.Popen(
            [CHROMIUM, *options, f"--user-data-dir={tmp_path / 'profile'}", url],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            assert server.done.wait(90), "Chromium did not answer"
        finally:
            process.terminate()
            process.wait(10)
            server.shutdown()
            server.server_close()
        assert "error" not in server.found, server.found["error"]
        return server.found

    return browse
