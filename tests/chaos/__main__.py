"""`python -m tests.chaos --rounds 50`: the long form of the chaos test, with its figures."""

import sys

import click

from tests.chaos.campaign import campaign
from tests.cli.launcher import scratch
from tests.e2e.system import Cluster, System


@click.command()
@click.option("--rounds", default=50, show_default=True, help="How many.")
@click.option("--seed", default=1, show_default=True, help="Decides the blows, the machine the moments.")
def main(rounds: int, seed: int) -> None:
    """Kill, cut off and restart a trading system at random; after each round every law must hold."""
    with scratch() as place:
        cluster = Cluster(place)
        system = System(cluster)
        try:
            figures = campaign(system, rounds, seed, click.echo)
        except AssertionError as error:
            click.echo(f"seed {seed}: {error}", err=True)
            sys.exit(1)
        finally:
            system.close()
            cluster.server.stop("immediate")
    click.echo("\n".join(["", *figures.lines()]))


if __name__ == "__main__":
    main()
