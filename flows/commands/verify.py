"""``spatialdreamer verify``: prove that a dataset is what its records say."""

import json
import multiprocessing
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from functools import partial
from itertools import chain
from typing import Annotated

import typer
from rich.console import Console

from flows.commands.exits import SOME_FAILED, told
from flows.commands.options import AsJson
from spatialdreamer_core.errors import ConfigError
from spatialdreamer_core.pairs.commits import ShardCommit, read_commits
from spatialdreamer_core.pairs.compaction import list_works
from spatialdreamer_core.pairs.verify import Accounts, Problem, account, verify_shard
from spatialdreamer_core.store.place import Place


def verify(
    output: Annotated[str, typer.Argument(help="Output folder or URL of make-pairs.")],
    decode: Annotated[
        bool, typer.Option("--decode/--no-decode", help="Decode every picture too, or only compare digests.")
    ] = True,
    workers: Annotated[int | None, typer.Option("--workers", "-w", help="Processes. [one per core]")] = None,
    as_json: AsJson = False,
) -> None:
    """Re-hash every shard and sample, decode every picture, and account for every planned clip.

    Exit code 0: all is as the records say. 3: something is not; each problem is told in a line.
    """
    console = Console()
    with told():
        place = Place(output)
        works = list_works(place)
        if not works:
            raise ConfigError(f"{output} holds no training pairs; give the --output of make-pairs")
        problems: list[Problem] = []
        shards = samples = 0
        for work in sorted(works):
            accounts = account(place, work)
            _show_accounts(work, accounts, console, as_json)
            commits = list(read_commits(place, work).values())
            shards += sum(bool(commit.file) for commit in commits)
            samples += sum(len(commit.samples) for commit in commits)
            found = _checked(place, commits, decode, workers or len(os.sched_getaffinity(0)))
            for problem in chain(accounts.problems, found):
                problems.append(problem)
                _show(problem, console, as_json)
    if as_json:
        typer.echo(json.dumps({"event": "done", "shards": shards, "samples": samples, "problems": len(problems)}))
    else:
        console.print(f"{shards} shards, {samples} samples, {len(problems)} problems")
    if problems:
        raise typer.Exit(SOME_FAILED)


def _checked(place: Place, commits: Sequence[ShardCommit], decode: bool, workers: int) -> Iterator[Problem]:
    """Problems of all shards, as they are found."""
    check = partial(verify_shard, place, decode=decode)
    if workers == 1:
        yield from chain.from_iterable(map(check, commits))
        return
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        for done in as_completed([pool.submit(check, commit) for commit in commits]):
            yield from done.result()


def _show(problem: Problem, console: Console, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"event": "problem"} | asdict(problem)))
        return
    clip = f" sample {problem.clip_id}" if problem.clip_id else ""
    console.print(f"{problem.where}{clip}: {problem.message}", markup=False, highlight=False, soft_wrap=True)


def _show_accounts(work: str, accounts: Accounts, console: Console, as_json: bool) -> None:
    plain = asdict(accounts)
    del plain["problems"]
    if as_json:
        typer.echo(json.dumps({"event": "work", "work_key": work} | plain))
        return
    text = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in plain.items())
    console.print(f"work {work}: {text}", markup=False, highlight=False, soft_wrap=True)
