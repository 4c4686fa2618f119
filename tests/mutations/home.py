"""L6 and L9: work is handed out only where the run began, and a restored history goes on in order."""

from tests.mutations.kinds import Mutation, code, view

ELSEWHERE = "test_home.py::test_elsewhere_nothing_is_handed_out"
LOWER_NUMBERS = (
    "test_restored_history.py::test_in_a_server_with_lower_transaction_numbers_the_history_keeps_its_order"
)

MUTATIONS: tuple[Mutation, ...] = (
    *(
        code("L6", function, "perform bus.require_home();", "", ELSEWHERE)
        for function in (
            *("api.claim_cancels", "api.claim_doubts", "api.claim_checks", "api.claim_amends"),
            *("api.fire_exits", "api.route_picks"),
        )
    ),
    code("L6", "api.claim_intents", ", bus.require_home()", "", ELSEWHERE),
    code("L6", "bus.require_home", "bus.is_home(n)", "true", ELSEWHERE),
    code("L6", "bus.is_home", "p_instance.identity = bus.server_identity()", "true", ELSEWHERE),
    code(
        "L6",
        "bus.is_home",
        "p_instance.identity = bus.server_identity()",
        "false",
        "test_home.py::test_after_a_restart_of_its_server_it_goes_on_by_itself",
    ),
    code(
        "L6",
        "api.run_marker",
        "perform bus.note_home();",
        "",
        "test_home.py::test_the_marker_notes_a_restart_so_that_claims_need_not_read_the_identity",
    ),
    Mutation(
        "L11",
        "begin_run is not the supervisor's alone",
        "grant execute on function api.begin_run(text) to aegis_engine",
        "test_home.py::test_only_the_supervisor_begins_a_run",
    ),
    code("L9", "bus.event_origin", "(n.run_number > 0 and not bus.is_home(n))::integer", "0", LOWER_NUMBERS),
    view(
        "L9",
        "bus.final_events",
        "(e.generation = n.generation)",
        "true",
        "test_restored_history.py::test_what_was_not_yet_read_in_the_old_server_is_not_passed_over",
    ),
)
