"""`python -m tests.attack --seconds 600`: hostile strategies attack a trading system; prints figures."""

import sys

import click

from tests.attack.campaign import campaign
from tests.cli.launcher import scratch
from tests.e2e.system import Cluster, System


@click.command()
@click.option("--seconds", default=600.0, show_default=True, help="How long they attack.")
@click.option("--quiet", default=120.0, show_default=True, help="How long it trades without them before.")
@click.option("--seed", default=1, show_default=True, help="Decides the market and the attacks.")
def main(seconds: float, quiet: float, seed: int) -> None:
    """Let hostile strategy logins attack a trading system; exit status 1 if a law or a bound is broken."""
    with scratch() as place:
        cluster = Cluster(place)
        system = System(cluster)
        try:
            result = campaign(system, quiet, seconds, seed, lambda line: click.echo(line, err=True))
        except AssertionError as error:
            click.echo(f"seed {seed}: {error}", err=True)
            sys.exit(1)
        finally:
            system.close()
            cluster.server.stop("immediate")
    click.echo("\n".join(result.lines()))
    for missed in result.misses():
        click.echo(f"MISSED {missed}")
    sys.exit(1 if result.misses() else 0)


if __name__ == "__main__":
    main()
