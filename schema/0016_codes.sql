-- 0016_codes: what must be remembered of the override code survives a rollback; cash is booked once under its key;
-- an intent knows how long it was asked to live; and no symbol a strategy may trade is null.

create sequence risk.override_locked_until minvalue 0 start with 0;
create sequence risk.override_attempts_ever minvalue 0 start with 0;

comment on sequence risk.override_locked_until is
    'No override code is looked at before this, in milliseconds since 1970; 0 when unlocked. A sequence, which a rollback does not turn back.';
comment on sequence risk.override_attempts_ever is 'The number of the last try of the override code.';

select setval('risk.override_locked_until', (extract(epoch from c.locked_until) * 1000)::bigint)
from risk.override_codes as c
where c.locked_until is not null;

alter table risk.override_codes
    drop column locked_until,
    add column rounds integer not null default 1,
    add constraint override_codes_rounds_positive check (rounds > 0);
alter table risk.override_codes alter column rounds drop default;

comment on column risk.override_codes.digest is 'sha256 of salt and code, so many rounds of it, as hex.';
comment on column risk.override_codes.rounds is 'How often it was hashed: 1 for a code that was set before it was made slow.';

create table risk.override_attempts (
    attempt_id bigint      not null,
    outcome    text        not null,
    login      text        default session_user,
    noted_at   timestamptz not null default bus.clock(),

    constraint override_attempts_pkey primary key (attempt_id),
    constraint override_attempts_outcome_known check (outcome in ('ACCEPTED', 'WRONG', 'ROLLED_BACK')),
    constraint override_attempts_login_iff_known check ((login is null) = (outcome = 'ROLLED_BACK'))
);

comment on table risk.override_attempts is 'Every try of the override code. Append-only.';
comment on column risk.override_attempts.attempt_id is 'Its number, from risk.override_attempts_ever.';
comment on column risk.override_attempts.outcome is
    'ACCEPTED, WRONG, or ROLLED_BACK: its transaction was undone, which does not undo the try.';
comment on column risk.override_attempts.login is 'Who tried; null where that was rolled back.';
comment on column risk.override_attempts.noted_at is 'When it was made; for one that was rolled back, when that was noticed.';

alter table trade.cash_entries
    add column idempotency_key text,
    add constraint cash_entries_key_bounded check (octet_length(idempotency_key) between 1 and 200);
create unique index cash_entries_idempotency_key on trade.cash_entries (account_id, idempotency_key)
    where idempotency_key is not null;

comment on column trade.cash_entries.idempotency_key is
    'Chosen by whoever books money by hand, so that the same twice is booked once; null where none was given.';

drop function if exists api.record_cash(text, text, numeric, text);

alter table trade.order_intents add column ttl interval;

comment on column trade.order_intents.ttl is
    'How long it was asked to live, counted again from an approval; null for intents older than this column.';

update strategy.strategies as s
set symbols = array_remove(s.symbols, null)
where case when array_ndims(s.symbols) = 1 then array_position(s.symbols, null) is not null end;

alter table strategy.strategies
    add constraint strategies_symbols_whole check (
        case when array_ndims(symbols) = 1 then array_position(symbols, null) is null else false end
    );
