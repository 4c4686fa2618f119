"""What a buy reserves, and the most that can be bought."""

from decimal import Decimal

FEE = Decimal("0.00015")
MOST = 1428  # the most shares at 70,000 that 100,000,000 can pay, fees included


def cost(quantity, price=70_000):
    return quantity * price * (1 + FEE)
