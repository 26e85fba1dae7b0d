"""A way to a server on which what goes there can be changed, or comes to nobody."""
import contextlib
import socket
import threading

from .process import at_once


class Relay:
    def __init__(self, port, change):
        """change(data): what is sent on of what came in one piece; None breaks the connection off."""
        self.target, self.change = port, change
        self.listener = at_once(socket.create_server(("127.0.0.1", 0), backlog=512))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        try:
            server = at_once(socket.create_connection(("127.0.0.1", self.target)))
        except OSError:  # nobody is there: the client is to see that
            client.close()
            return
        back = threading.Thread(target=self.pump, args=(server, client, lambda data: data), daemon=True)
        back.start()
        self.pump(client, server, self.change)
        back.join()
        client.close()
        server.close()

    @staticmethod
    def pump(source, target, change):
        with contextlib.suppress(OSError):
            while (data := source.recv(65536)) and (changed := change(data)) is not None:
                target.sendall(changed)
        for one in (source, target):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def close(self):
        # a thread that waits in accept keeps the port: wake it
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
