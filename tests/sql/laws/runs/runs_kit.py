"""Begin a run with a marker, and adopt a database."""

CODE = "tulip-4711"


def begin(kit, marker):
    """Begin a run with this marker; return the marker to keep and why the database is foreign, if it is."""
    return kit.rows("supervisor", "select * from begin_run(%s)", marker)[0]


def instance(kit):
    return kit.look("select * from bus.instance")


def adopt(kit, code=CODE):
    return kit.rows("desk", "select * from adopt('because', %s)", code)[0]


def make_foreign(kit):
    assert begin(kit, "").foreign_because


def mode(kit):
    return kit.look("select * from risk.system_mode")
