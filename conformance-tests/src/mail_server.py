"""A mail server: keeps each message as a file in the folder named, until its standard input ends."""

import asyncio
import itertools
import pathlib
import sys

from aiosmtpd.smtp import SMTP


class Folder:
    """Keeps messages, oldest first."""

    def __init__(self, path):
        self.path, self.numbers = pathlib.Path(path), itertools.count()
        self.path.mkdir()

    async def handle_DATA(self, _server, _session, envelope):
        partial = self.path / "partial"
        partial.write_bytes(envelope.content)
        partial.rename(self.path / f"{next(self.numbers):06}.eml")
        return "250 kept"


async def main():
    folder = Folder(sys.argv[1])
    server = await asyncio.get_running_loop().create_server(lambda: SMTP(folder), "127.0.0.1", 0)
    print("%s:%d" % server.sockets[0].getsockname(), flush=True)
    await asyncio.to_thread(sys.stdin.read)


asyncio.run(main())
