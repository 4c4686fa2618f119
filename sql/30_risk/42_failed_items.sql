-- 42_failed_items: an unknown error of one item is the refusal of that item, and a person is alerted; the rest of
-- its set goes on.  Each loop over items catches what goes wrong with one in a block of its own.

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
    'Keeps an incident open of an item that failed with an error nobody foresaw, so that the others could go on.';
