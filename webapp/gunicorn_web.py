"""`gunicorn` as it is, but that it does not put the current folder first on the path (`webapp.modules`)."""

from __future__ import annotations

import os

from gunicorn.app.wsgiapp import WSGIApplication


class Web(WSGIApplication):  # type: ignore[misc]
    def chdir(self) -> None:
        os.chdir(self.cfg.chdir)


if __name__ == "__main__":
    Web("%(prog)s [OPTIONS] [APP_MODULE]").run()
