-- 00_api: the one schema that people, workers and strategies see. Everything else is private.

create schema if not exists api;

comment on schema api is 'The door: functions to call and views to read. Everything else in this database is private.';
