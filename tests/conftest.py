import json
import os
import select
import shutil
import subprocess
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

import hypothesis
import pytest

hypothesis.settings.register_profile("edubba", deadline=None)  # cores are shared: a slow example is no failure
hypothesis.settings.load_profile("edubba")


@pytest.fixture(autouse=True)
def own_home(tmp_path, monkeypatch):
    """No test reads or writes the user's own cache."""
    monkeypatch.setenv("EDUBBA_HOME", str(tmp_path / "edubba-home"))


# ---- pages in a browser


class Chromium:
    """Headless Chromium, spoken to in the DevTools protocol over two pipes."""

    TOO_WIDE = """[...document.querySelectorAll("body *")].filter(e => !e.closest(".scroll, svg")
      && e.getBoundingClientRect().right > document.documentElement.clientWidth + 0.5).map(e => e.outerHTML.slice(0, 120))"""
    GROUND = "getComputedStyle(document.documentElement).backgroundColor"

    def __init__(self, program, profile):
        to_read, self.to = os.pipe()
        self.come, to_write = os.pipe()
        flags = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
        command = [
            program,
            *flags.split(),
            "--disable-component-update",
            "--disable-sync",
            f"--user-data-dir={profile}",
        ]
        pipes = f'exec "$@" 3<&{to_read} 4>&{to_write}'  # the protocol's two file descriptors
        self.process = subprocess.Popen(
            ["bash", "-c", pipes, "bash", *command, "--remote-debugging-pipe", "about:blank"],
            pass_fds=(to_read, to_write), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(to_read)
        os.close(to_write)
        self.count, self.rest, self.events, self.session = 0, b"", [], {}
        target = self("Target.createTarget", url="about:blank")["targetId"]
        self.session = {"sessionId": self("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]}

    def receive(self):
        while b"\0" not in self.rest:
            assert select.select([self.come], [], [], 120)[0], "the browser says nothing"
            part = os.read(self.come, 1 << 20)
            assert part, "the browser ended"
            self.rest += part
        message, self.rest = self.rest.split(b"\0", 1)
        return json.loads(message)

    def __call__(self, method, **params):
        self.count += 1
        message = {"id": self.count, "method": method, "params": params} | self.session
        os.write(self.to, json.dumps(message).encode() + b"\0")
        while (answer := self.receive()).get("id") != self.count:
            self.events.append(answer)
        return answer["result"]

    def open(self, path):
        self.events.clear()
        self("Page.navigate", url=path if isinstance(path, str) else path.as_uri())
        self.loaded()

    def loaded(self):
        while not any(event["method"] == "Page.loadEventFired" for event in self.events):
            self.events.append(self.receive())

    def wait(self, condition):
        for _ in range(200):
            if self.ask(condition):
                return
            time.sleep(0.05)
        raise AssertionError(f"never: {condition}")

    def ask(self, expression):
        return self("Runtime.evaluate", expression=expression, returnByValue=True)["result"]["value"]

    def close(self):
        self("Browser.close")
        self.process.wait(30)
        os.close(self.to)
        os.close(self.come)


@pytest.fixture
def browser(tmp_path):
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    chromium = Chromium(program, tmp_path / "profile")
    for domain in ("Page", "Runtime", "Log", "Network"):
        chromium(f"{domain}.enable")
    yield chromium
    chromium.close()
