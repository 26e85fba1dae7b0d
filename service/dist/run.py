"""Runs ferrod for `make run`: passes its log on, and says where it is once it listens. run.py FERROD [ARGUMENT...]"""
import json
import os
import signal
import subprocess
import sys


def hints(line, tls=False):
    """What to look at first, from the log line of a server that listens; None: it is another line."""
    try:
        record = json.loads(line)
    except ValueError:
        return None
    if not isinstance(record, dict) or record.get("event") != "listening":
        return None
    host = record["listen"].rsplit(":", 1)[0]
    url = f"{'https' if tls else 'http'}://{'127.0.0.1' if host in ('0.0.0.0', '[::]') else host}:{record['port']}"
    return (f"\nferrod serves on {url}\n"
            f"  docs and console: {url}/docs\n"
            f"  first request:    curl {'-k ' if tls else ''}{url}/readyz\n"
            "  it ends with Ctrl-C\n\n")


def main():
    tls = any(word.startswith("--tls-cert-file") for word in sys.argv[2:]) or bool(os.environ.get("FERROD_TLS_CERT_FILE"))
    process = subprocess.Popen(sys.argv[1:], stderr=subprocess.PIPE)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda n, _: process.send_signal(n))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal sends it to the server, too
    for line in process.stderr:
        sys.stderr.buffer.write(line)
        text = hints(line, tls)
        if text is not None:
            sys.stderr.buffer.write(text.encode())
        sys.stderr.buffer.flush()
    return process.wait()


if __name__ == "__main__":
    sys.exit(main())
