"""A server that is killed and started again on one state."""
from .client import Client
from .server import Server, run_binary

NOTICE = ["--drain-notice-seconds", "0.05"]  # of a shared state: twice five seconds otherwise, at each end of a server


class Node:
    """A server that is killed and started again on the same state and databases."""

    def __init__(self, args, directory):
        self.args, self.dir, self.server, self.client = args, directory, None, None

    def start(self, *more, wait=True):
        self.server = Server(*self.args, *more, wait=wait)
        if wait:
            self.client = Client(self.server.port)
        return self.client

    def kill(self):
        self.client.close()
        self.server.kill()

    def again(self, *more):
        self.kill()
        return self.start(*more)

    def refused(self, *more):
        code, out, err = run_binary(*self.args, *more, "--listen", "127.0.0.1:0", cwd=self.dir)
        assert code == 2 and out == "" and err.count("\n") == 1, (code, out, err)
        return err


def node(request, tmp_path):
    """State of either kind; .state is its URL, .key its key file."""
    key = tmp_path / "key"
    key.write_text(run_binary("key", "seal")[1])
    state = f"sqlite:{tmp_path}/state.db?mode=rwc"
    if request.param == "postgres":
        pg = request.getfixturevalue("postgres_backend")
        state = pg.url
    args = ["--default-url", f"sqlite:{tmp_path}/default.db?mode=rwc", "--state-url", state, "--state-key-file", str(key), *NOTICE]
    made = Node(args, tmp_path)
    made.kind, made.state, made.key = request.param, state, key
    if request.param == "postgres":
        made.pg, made.database = pg.pg, pg.database
    yield made
    if made.server is not None and made.server.alive:
        made.client.close()
        made.server.stop()
