-- Least privilege on PostgreSQL: `schedsearch_worker` reads and writes rows and changes no schema (workers, `launch`,
-- `sync`); `schedsearch_reader` only reads (dashboards, `status`, `report`). The schema belongs to whoever runs this.
--
-- Run it in the store's database as the role that runs `schedsearch db upgrade` (which makes Optuna's tables, too), after
-- that command; it may be run again at any time:
--     psql --dbname=schedsearch --file=db/roles_postgresql.sql
-- Then give people a login:  create role alice login in role schedsearch_worker;  \password alice

do $$
begin
    if not exists (select from pg_roles where rolname = 'schedsearch_worker') then
        create role schedsearch_worker nologin;
    end if;
    if not exists (select from pg_roles where rolname = 'schedsearch_reader') then
        create role schedsearch_reader nologin;
    end if;
end
$$;

revoke create on schema public from public;
grant usage on schema public to schedsearch_worker, schedsearch_reader;

grant select, insert, update, delete on all tables in schema public to schedsearch_worker;
grant usage on all sequences in schema public to schedsearch_worker;
grant select on all tables in schema public to schedsearch_reader;

-- The same for tables that this role makes later.
alter default privileges in schema public grant select, insert, update, delete on tables to schedsearch_worker;
alter default privileges in schema public grant usage on sequences to schedsearch_worker;
alter default privileges in schema public grant select on tables to schedsearch_reader;

-- Nobody but the schema's owner says which version it is.
revoke insert, update, delete on schedsearch_alembic_version from schedsearch_worker;
