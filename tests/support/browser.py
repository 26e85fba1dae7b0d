"""Headless Chromium, driven over chromedriver's W3C WebDriver protocol with nothing but the standard library."""
import http.client
import json
import re
import shutil
import signal
import subprocess

from .process import die_with_parent, wait_for

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
SECONDS = 30


def missing():
    """What is not installed, as text; empty when a browser can be had."""
    return " ".join(tool for tool in ("chromium", "chromedriver") if shutil.which(tool) is None)


class Browser:
    """Browser(width, height): a fresh profile; everything that it logs is kept."""

    def __init__(self, width=1280, height=900, dark=False):
        self.driver = subprocess.Popen(["chromedriver", "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                       preexec_fn=die_with_parent(signal.SIGKILL))
        self.session = None
        for line in self.driver.stdout:
            match = re.search(r"started successfully on port (\d+)", line)
            if match:
                self.port = int(match.group(1))
                break
        else:
            raise AssertionError("chromedriver did not start")
        # One thread of rendering on the CPU, no sandbox: the tests may run as root in a container.
        flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", f"--window-size={width},{height}",
                 "--no-first-run", "--disable-background-networking", "--hide-scrollbars"]
        if dark:
            flags.append("--force-dark-mode")
        capabilities = {"browserName": "chrome", "goog:chromeOptions": {"args": flags, "binary": shutil.which("chromium")},
                        "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"}}
        self.session = self.call("POST", "/session", {"capabilities": {"alwaysMatch": capabilities}})["sessionId"]

    def call(self, method, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=SECONDS * 2)
        prefix = f"/session/{self.session}" if self.session else ""
        connection.request(method, prefix + path, None if body is None else json.dumps(body), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        value = json.loads(answer.read())["value"]
        connection.close()
        assert answer.status == 200, f"{method} {path}: {value}"
        return value

    def open(self, url):
        self.call("POST", "/url", {"url": url})

    def run(self, script, *arguments):
        """JavaScript's `return`ed value; arguments as `arguments[0]`…"""
        return self.call("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def cdp(self, command, **parameters):
        return self.call("POST", "/goog/cdp/execute", {"cmd": command, "params": parameters})

    def wait(self, script, *arguments, what=None):
        """Waits until the script returns something true, and returns it."""
        return wait_for(lambda: self.run(script, *arguments), SECONDS, what or script)

    def find(self, selector):
        self.wait("return document.querySelector(arguments[0]) !== null", selector, what=f"an element {selector}")
        return self.call("POST", "/element", {"using": "css selector", "value": selector})[ELEMENT]

    def click(self, selector):
        self.call("POST", f"/element/{self.find(selector)}/click", {})

    def type(self, selector, text, clear=True):
        element = self.find(selector)
        if clear:
            self.call("POST", f"/element/{element}/clear", {})
        self.call("POST", f"/element/{element}/value", {"text": text})

    def press(self, *keys):
        """Keys to whatever has the focus: characters, or WebDriver's code points; several are held together."""
        actions = [{"type": "keyDown", "value": key} for key in keys] + [{"type": "keyUp", "value": key} for key in reversed(keys)]
        self.call("POST", "/actions", {"actions": [{"type": "key", "id": "keyboard", "actions": actions}]})

    def text(self, selector):
        return self.call("GET", f"/element/{self.find(selector)}/text")

    def console(self):
        """Lines of the console (and of the browser itself) since the last call that are worse than information."""
        return [entry for entry in self.call("POST", "/se/log", {"type": "browser"}) if entry["level"] in ("SEVERE", "WARNING")]

    def requests(self):
        """Every URL that was asked for since the last call."""
        urls = []
        for entry in self.call("POST", "/se/log", {"type": "performance"}):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                urls.append(message["params"]["request"]["url"])
        return urls

    def close(self):
        try:
            if self.session:
                self.call("DELETE", "")
        finally:
            self.driver.terminate()
            self.driver.wait(timeout=SECONDS)
            self.driver.stdout.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
