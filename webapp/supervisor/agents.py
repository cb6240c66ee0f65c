"""The agents that people start from the page: one process for each person, kept for the run, so that it keeps its consent."""

from __future__ import annotations

import asyncio
import json
import os
from asyncio.subprocess import PIPE, Process
from dataclasses import dataclass, field
from pathlib import Path

from webapp import modules
from webapp.errors import Conflict
from webapp.evaluation import steps
from webapp.supervisor.part import end, spawn

MOST_AGENTS = 8
SCENARIO_NAME = 40
LINE = 65_536
INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "PYTHONPATH")


@dataclass
class Agents:
    instance: Path
    public_url: str
    processes: dict[str, Process] = field(default_factory=dict)
    pumps: set[asyncio.Task[None]] = field(default_factory=set)

    def prepare(self) -> None:
        """The steps of an earlier run are gone with its agents."""
        folder = steps.folder(self.instance)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for file in folder.glob("*.jsonl"):
            file.unlink()

    async def tell(self, person: str, scenario: str) -> None:
        """Have the person's agent run a scenario (or stop waiting: an empty one). Raises Conflict."""
        process = self.processes.get(person)
        if process is None or process.returncode is not None:
            if not scenario:
                return
            process = await self._start(person)
        assert process.stdin is not None
        if scenario:
            self._file(person, fresh=True)
            self._note(person, "asked", steps.ASKED)
        process.stdin.write(json.dumps({"scenario": scenario[:SCENARIO_NAME]}).encode() + b"\n")
        await process.stdin.drain()

    async def _start(self, person: str) -> Process:
        if sum(process.returncode is None for process in self.processes.values()) >= MOST_AGENTS:
            raise Conflict("Too many agents are running. Stop one first.")
        log = os.open(self.instance / "logs" / "agent.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            # It is a stranger to this house: it gets an address, and nothing of the environment that could hold a secret.
            environment = {name: os.environ[name] for name in INHERITED if name in os.environ}
            command = modules.command("webapp.evaluation.agent", self.public_url)
            process = await spawn(command, environment, stdin=PIPE, stdout=PIPE, stderr=log, limit=LINE)
        finally:
            os.close(log)
        self.processes[person] = process
        pump = asyncio.create_task(self._pump(person, process))
        self.pumps.add(pump)
        pump.add_done_callback(self.pumps.discard)
        return process

    async def _pump(self, person: str, process: Process) -> None:
        """The agent's output, line by line, to the person's file."""
        assert process.stdout is not None
        finished = True
        while line := await process.stdout.readline():
            finished = json.loads(line)["kind"] == "finished"
            self._append(person, line)
        if not finished:
            self._note(person, "error", steps.ENDED)
            self._note(person, "finished", "Done.")

    def _note(self, person: str, kind: str, text: str) -> None:
        """A step of our own, in the same file."""
        self._append(person, steps.line(kind, text).encode() + b"\n")

    def _file(self, person: str, *, fresh: bool) -> int:
        how = os.O_TRUNC if fresh else os.O_APPEND
        descriptor = os.open(steps.path(self.instance, person), os.O_WRONLY | os.O_CREAT | how, 0o600)
        if fresh:
            os.close(descriptor)
        return descriptor

    def _append(self, person: str, line: bytes) -> None:
        with os.fdopen(self._file(person, fresh=False), "ab") as file:
            file.write(line)

    async def stop(self) -> None:
        await asyncio.gather(*(end(process) for process in self.processes.values() if process.returncode is None))
        for pump in list(self.pumps):
            pump.cancel()
