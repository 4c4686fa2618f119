-- 42_failed_items: an unexpected error in one item refuses that item and alerts a person; the rest of its set
-- continues. Each loop over items catches the error of an item in a block of its own.

create or replace function risk.note_failed_item(
    p_action   text,
    p_item     text,
    p_sqlstate text,
    p_message  text
)
returns void
language sql
volatile
begin atomic
    insert into risk.incidents as i (kind, subject, detail)
    values (
        'failed_item', left(p_action || ': ' || p_item, 500),
        jsonb_build_object('sqlstate', p_sqlstate, 'message', left(p_message, 1000))
    )
    on conflict (kind, subject) where closed_at is null do update
    set detail = excluded.detail
    where i.detail is distinct from excluded.detail;
end;

comment on function risk.note_failed_item is
    'Opens or refreshes an incident for an item that failed with an unexpected error, so that the others could '
    'continue.';
