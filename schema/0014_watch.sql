-- 0014_watch: how long a session may keep a transaction open, and how often a job did not get its locks.

create table bus.session_limits (
    role_group          text     not null,
    idle_in_transaction interval not null,
    statement           interval not null,
    transaction         interval not null,
    idle_in_the_way     interval not null,
    in_the_way          interval not null,

    constraint session_limits_pkey primary key (role_group),
    constraint session_limits_not_negative check (
        least(idle_in_transaction, statement, transaction, idle_in_the_way, in_the_way) >= '0 s'
    )
);

comment on table bus.session_limits is
    'How long sessions may stay in a transaction before the watcher ends them. Of several groups of a login the longest counts.';
comment on column bus.session_limits.role_group is
    'The group of logins; other is everybody whom we may not end, who becomes an incident instead.';
comment on column bus.session_limits.idle_in_transaction is 'Longest time in a transaction without a statement.';
comment on column bus.session_limits.statement is 'Longest statement.';
comment on column bus.session_limits.transaction is 'Longest transaction, and so the oldest snapshot.';
comment on column bus.session_limits.idle_in_the_way is
    'Oldest transaction of an idle session that makes a stop, a fill or another worker wait.';
comment on column bus.session_limits.in_the_way is
    'Oldest transaction of a busy session that makes a stop, a fill or another worker wait.';

insert into bus.session_limits (
    role_group, idle_in_transaction, statement, transaction, idle_in_the_way, in_the_way
) values
('aegis_strategy', '2 s', '10 s', '10 s', '0 s', '1 s'),
('aegis_viewer', '2 s', '10 s', '10 s', '0 s', '1 s'),
('aegis_operator', '10 s', '60 s', '60 s', '1 s', '5 s'),
('aegis_feed', '30 s', '60 s', '60 s', '5 s', '30 s'),
('aegis_engine', '30 s', '60 s', '60 s', '5 s', '30 s'),
('aegis_executor', '30 s', '60 s', '60 s', '5 s', '30 s'),
('other', '10 s', '60 s', '60 s', '10 s', '60 s');

alter table bus.jobs
    add column misses bigint not null default 0,
    add column missing_since timestamptz,
    add constraint jobs_missing_since_iff_missed check ((misses > 0) = (missing_since is not null));

comment on column bus.jobs.misses is 'How often in a row it failed or did not get its locks; 0 when it last ran well.';
comment on column bus.jobs.missing_since is 'Since when it has not run; null when it last ran well.';
