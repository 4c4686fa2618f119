-- 00_api: the only schema that people, workers and strategies may use. Everything else is private.

create schema if not exists api;

comment on schema api is 'Functions to call and views to read. Everything else in this database is private.';
