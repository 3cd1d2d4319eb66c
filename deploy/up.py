"""`labo up`: the embedded stack in a terminal, from the first step to Ctrl-C."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from contextlib import suppress
from pathlib import Path

from rich.console import Console

from deploy.agents import read_agents
from deploy.installation import Installation, Ports
from deploy.kept import told
from deploy.stack import Stack
from deploy.terminal import Terminal
from deploy.unprivileged import SetupError
from shared import clock

SAME_SECONDS = 0.5  # `make` passes a SIGTERM on to us that its whole group was sent: that is one wish, not two


async def up(console: Console, *, demonstration: bool = True) -> int:
    """The exit code. SIGINT, SIGTERM and SIGHUP ask it to stop; a second one asks it to hurry."""
    terminal = Terminal(console)
    asked = asyncio.Event()
    try:
        stack = Stack(Installation(), Ports.chosen(), terminal, demonstration=demonstration)
    except SetupError as refused:
        return _refuse(terminal, refused)

    first_asked = 0.0

    def ask() -> None:
        nonlocal first_asked
        if not asked.is_set():
            terminal.say("Stopping; what is under way is finished first (Ctrl-C again does not wait) …")
            asked.set()
            first_asked = time.monotonic()
        elif time.monotonic() - first_asked > SAME_SECONDS:
            terminal.say("Not waiting any longer.")
            stack.hurry()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, ask)
    code = 0
    try:
        await _run(stack, terminal, asked)
    except SetupError as refused:
        code = _refuse(terminal, refused)
    finally:
        await stack.stop()
    if asked.is_set():
        terminal.say("Stopped. `make run` resumes where this ended.")
    return code


async def _run(stack: Stack, terminal: Terminal, asked: asyncio.Event) -> None:
    starting, stopping = asyncio.create_task(stack.start()), asyncio.create_task(asked.wait())
    await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
    if starting.done():
        starting.result()
        welcome(stack, terminal)
        await stopping
    else:
        starting.cancel()
        with suppress(asyncio.CancelledError, SetupError):
            await starting


def _refuse(terminal: Terminal, refused: SetupError) -> int:
    terminal.say(f"Lab-O cannot start: {refused}.", "bold red")
    return 1


def welcome(stack: Stack, terminal: Terminal) -> None:
    """Where to go, when it is, who to be, how to stop."""
    names = ", ".join(agent.name for agent in read_agents() if agent.persona and "agent" in agent.roles)
    logs = Path(os.path.relpath(stack.installation.logs))
    terminal.say("")
    terminal.say(f"Lab-O runs. Its demonstration lives on {told(clock.offset())} in Paris, and goes on from there.", "bold green")
    for name, text in (
        ("Portal", stack.portal_url),
        ("Sign in", f"« Se connecter » on the portal, then one click on a person: {', '.join(names.split(', ')[:4])}…"),
        ("Mail", f"{stack.mail_url}  (every mail it sends, calendar entries included)"),
        ("API", f"{stack.portal_url}/api/v1/openapi.json  (a token: ./labo demo token agent-0001)"),
        ("State", "./labo status  (and ./labo --help)"),
        ("Stop", f"Ctrl-C; data stay in {os.path.relpath(stack.installation.folder)}, logs in {logs}"),
    ):
        terminal.say(f"  {name:<8} {text}")
    terminal.say("")
