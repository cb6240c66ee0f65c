"""`counterseal up`: prepare the instance, start its processes, say where it is, and stop everything in order."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from vault import embedded
from vault.secret import Secret
from vault.settings import load
from webapp.errors import BadInput, Unavailable
from webapp.evaluation import links
from webapp.evaluation import run as runs
from webapp.supervisor import control, left, lock, plan, sockets, unsealing
from webapp.supervisor.agents import Agents
from webapp.supervisor.part import Keeper

PATIENCE = 120.0
"""Seconds until a part that never answers is given up."""
GIVE_UP = 4
"""A part that ended this often before it ever answered is not started again."""
LINK_FILE = "link"

Say = Callable[[str], None]


def is_evaluation(instance: Path, wanted: bool) -> bool:
    """What the instance is; a new one becomes what is wanted. Raises BadInput where that contradicts what it is."""
    marked = (instance / "evaluation").is_dir()
    if wanted and not marked and (instance / "vault").exists():
        raise BadInput(
            f"The instance in {instance} was not made for evaluation and cannot become one. Use another: make run INSTANCE=folder"
        )
    return wanted or marked


def prepare(instance: Path, *, port: int, public_url: str | None, evaluation: bool) -> plan.House:
    """Folders, sockets, the vault's configuration. Raises Conflict for a taken port, BadInput for an address not allowed here
    or a vault of somebody else's, BadSettings."""
    if load(instance, evaluation=False, environ={}).vault_address:
        raise BadInput("keeper.toml names a vault of your own, and `up` brings one: start keeper, serve and worker instead.")
    for folder in (instance / "run", instance / "logs"):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    pages = sockets.pages(port)
    url = f"http://localhost:{pages[0].getsockname()[1]}"
    if evaluation and public_url not in (None, url):
        for sock in pages:
            sock.close()
        raise BadInput(f"An evaluation instance is at {url} and nowhere else. Remove public_url from its configuration.")
    bundled = sockets.bundled(instance) if evaluation else {}
    run = _run(instance, url, bundled) if evaluation else None
    embedded.prepare(instance)
    return plan.House(instance, public_url or url, tuple(pages), run, bundled)


def _run(instance: Path, url: str, bundled: Mapping[str, socket.socket]) -> runs.Run:
    """A fresh secret at each start: links, hints and cookies of an earlier run are void."""
    at = {name: f"http://127.0.0.1:{sock.getsockname()[1]}" for name, sock in bundled.items()}
    run = runs.Run(url, at["identity"], at["bank"], at["mcp"], Secret(secrets.token_urlsafe(32)))
    runs.write(instance, run)
    return run


def say(text: str) -> None:
    print(text, flush=True)


class Supervisor:
    def __init__(self, house: plan.House) -> None:
        self.house = house
        self.keepers = [Keeper(part, house.instance / "logs", say) for part in plan.parts(house)]
        self.agents = Agents(house.instance, house.public_url)
        self.stop = asyncio.Event()
        self.began = time.monotonic()

    async def run(self) -> None:
        """Until a signal. Raises Unavailable when a part does not come up; whatever was started is stopped first."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self.stop.set)
        self.agents.prepare()
        server = await control.serve(self.house.instance, {"link": self._link, "agent": self._agent, "unseal": self._unseal})
        tasks = [asyncio.create_task(keeper.run()) for keeper in self.keepers]
        try:
            await self._until_up()
            if not self.stop.is_set():
                announce(self.house)
                await self.stop.wait()
                say("\nStopping.")
        finally:
            server.close()
            await self._stop_all(tasks)

    async def _stop_all(self, tasks: list[asyncio.Task[None]]) -> None:
        """The web server first, so that nothing new comes in; the vault last."""
        await self.agents.stop()
        for keeper in reversed(self.keepers):
            await keeper.stop()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        (self.house.instance / "run" / LINK_FILE).unlink(missing_ok=True)

    async def _until_up(self) -> None:
        """Wait for every part; the sentences come in the order things are ready."""
        waits = {asyncio.create_task(self._told(keeper)) for keeper in self.keepers}
        stopped = asyncio.create_task(self.stop.wait())
        try:
            while waits and not self.stop.is_set():
                timeout = max(0.0, PATIENCE - (time.monotonic() - self.began))
                done, _ = await asyncio.wait({*waits, stopped}, timeout=min(timeout, 0.5), return_when=asyncio.FIRST_COMPLETED)
                waits -= done
                self._check(timeout)
        finally:
            for task in {*waits, stopped}:
                task.cancel()

    async def _told(self, keeper: Keeper) -> None:
        await keeper.up.wait()
        say(f"  {keeper.part.words}: ready ({time.monotonic() - self.began:.1f} s).")

    def _check(self, left: float) -> None:
        for keeper in self.keepers:
            if not keeper.up.is_set() and (keeper.failures >= GIVE_UP or left <= 0):
                raise Unavailable(f"{keeper.part.words}: it does not start. The end of {keeper.log}:\n{keeper.tail()}")

    async def _link(self, _request: Mapping[str, Any]) -> dict[str, Any]:
        if self.house.run is None:
            raise BadInput("Only an evaluation instance has sign-in links. Sign in at " + self.house.public_url)
        return {"link": links.make(self.house.run, time.time())}

    async def _unseal(self, _request: Mapping[str, Any]) -> dict[str, Any]:
        await unsealing.replace(self.house.instance, next(one for one in self.keepers if one.part.name == "vault"))
        return {"replaced": True}

    async def _agent(self, request: Mapping[str, Any]) -> dict[str, Any]:
        if self.house.run is None:
            raise BadInput("Only an evaluation instance has a bundled agent.")
        await self.agents.tell(str(request.get("person", "")), str(request.get("scenario", "")))
        return {"told": True}


def announce(house: plan.House) -> None:
    say(f"\nCounterseal is running: {house.public_url}")
    if house.run is not None:
        show_link(house.instance, links.make(house.run, time.time()))
        say("Another link: .venv/bin/counterseal link" + _which(house.instance))
    say("Ctrl-C stops everything.")


def _which(instance: Path) -> str:
    return "" if instance == Path("instance").resolve() else f" --instance {instance}"


def show_link(instance: Path, link: str) -> None:
    """To the terminal; where there is none, to a 0600 file: a link in a log or a pipe would let its readers in."""
    if sys.stdout.isatty():
        say(f"Sign in (once, within 10 minutes): {link}")
        return
    path = instance / "run" / LINK_FILE
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(link + "\n")
    say(f"The sign-in link (once, within 10 minutes) is in {path}")


def up(instance: Path, *, port: int, public_url: str | None, evaluation: bool) -> None:
    """Run an instance until Ctrl-C. Raises CountersealError with words for the terminal."""
    instance = instance.resolve()
    evaluation = is_evaluation(instance, evaluation)
    os.umask(0o077)  # for every part too: what they write is its owner's alone
    instance.mkdir(parents=True, exist_ok=True)
    instance.chmod(0o700)
    held = lock.take(instance)
    try:
        kind = "evaluation instance" if evaluation else "instance"
        for folder in left.remove(instance):
            say(f"Removed {folder}: a restore was killed in it, and it held a vault's keys.")
        say(f"Starting the {kind} in {instance}.")
        house = prepare(instance, port=port, public_url=public_url, evaluation=evaluation)
        asyncio.run(Supervisor(house).run())
    finally:
        os.close(held)
