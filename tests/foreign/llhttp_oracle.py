"""What llhttp (PyPI, its strict defaults) makes of bytes. In: a JSON array of base64 texts; out: an array of [messages, bodies, refused].

Runs in the environment that has the package.
"""
import base64
import json
import sys

import llhttp


class Messages(llhttp.Request):
    def __init__(self):
        super().__init__()
        self.bodies, self.body = [], b""

    def on_message_begin(self):
        self.body = b""

    def on_body(self, part):
        self.body += bytes(part)

    def on_message_complete(self):
        self.bodies.append(self.body.decode("latin-1"))


def verdict(raw):
    parser = Messages()
    try:
        parser.execute(raw)
    except llhttp.ClosedConnectionError:  # what follows a message that ends the connection is nobody's
        return [len(parser.bodies), parser.bodies, ""]
    except llhttp.Error as e:
        return [len(parser.bodies), parser.bodies, str(e) or type(e).__name__]
    return [len(parser.bodies), parser.bodies, ""]


json.dump([verdict(base64.b64decode(text)) for text in json.load(sys.stdin)], sys.stdout)
