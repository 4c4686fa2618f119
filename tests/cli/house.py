"""A directory with a server and one migrated database, and the commands run on it."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

from click.testing import CliRunner, Result

from cli.database.connect import Database
from cli.main import cli
from tests.cli.launcher import start
from workers.runtime.settings import Settings

NOTE = "select bus.record_event('test', null, %s, null, '{}')"
NOTES = "select change from api.events where entity = 'test' order by event_id"
CODE = "tulip-4711"


@dataclass
class House:
    """A directory with a server and one migrated database."""

    place: Path
    name: str = "demo"

    @property
    def data(self) -> Path:
        return self.place / "server" / "data"

    @property
    def database(self) -> Database:
        return Database(Settings(data_dir=self.place), self.name)

    def __call__(self, *arguments: str, code: str | None = None) -> Result:
        settings = {"AEGIS_DATA_DIR": str(self.place), "AEGIS_DATABASE": self.name}
        clean = dict.fromkeys(name for name in os.environ if name.startswith("AEGIS_"))
        return CliRunner(env=clean | settings).invoke(cli, arguments, input=code)

    def does(self, *arguments: str, code: str | None = None) -> str:
        done = self(*arguments, code=code)
        assert done.exit_code == 0, (arguments, done.output, done.exception)
        return done.output

    def refuses(self, *arguments: str, code: str | None = None) -> str:
        done = self(*arguments, code=code)
        assert done.exit_code == 1, (arguments, done.output, done.exception)
        return done.output

    def note(self, text: str) -> None:
        with self.database.admin() as conn:
            conn.execute(NOTE, [text])

    def notes(self) -> list[str]:
        with self.database.desk() as conn:
            return [text for (text,) in conn.execute(NOTES.encode())]

    def begin_run(self, marker: str | None = None) -> None:
        with self.database.connect("aegis_w_supervisor") as conn:
            conn.execute("select begin_run(%s)", [marker])

    def backup(self, *arguments: str) -> Path:
        return Path(json.loads(self.does("backup", *arguments, "--json"))["path"])


def make(place: Path) -> House:
    place.mkdir(exist_ok=True)
    place.chmod(0o711)
    house = House(place)
    start(place / "server")  # without fsync, from a prepared directory
    house.does("db", "migrate")
    with house.database.desk() as conn:
        conn.execute("select set_override_code(%s)", [CODE])
    house.begin_run()
    return house
