-- 0013_exhaustion: what the weakest login may write is counted.  By sequences, because a rollback does not turn
-- them back: a row that counts would be undone by whoever is counted.

create sequence bus.writes_of_others minvalue 0;

comment on sequence bus.writes_of_others is
    'The minute and the number of writes in it by strategy logins that have no strategy here; each strategy has a sequence of its own.';

do $$
declare
    v_strategy text;
begin
    for v_strategy in select s.strategy from strategy.strategies as s loop
        execute format('create sequence bus.%I minvalue 0', 'writes_of_' || v_strategy);
    end loop;
end;
$$;

create index workers_by_login on bus.workers (login, started_at);
