"""The system trades on a server whose session defaults are all as bad as they can be."""

from __future__ import annotations

import json

from tests.sql.test_settings import make_hostile


def test_a_system_trades_whatever_the_defaults_of_its_server_are(system):
    make_hostile(system.admin, system.name)

    system.start()
    system.wait_for_fills(2)

    assert system.value("select count(*) from trade.orders where closed_reason = 'not sent in time'") == 0
    found = json.loads(system.aegis("doctor", "--json").stdout)
    assert [row["what"] for row in found if row["check"] == "settings" and row["state"] != "ok"] == []
    system.stop()
