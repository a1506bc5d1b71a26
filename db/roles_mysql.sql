-- Least privilege on MySQL and MariaDB: `schedsearch_worker` reads and writes rows and changes no schema (workers,
-- `launch`, `sync`); `schedsearch_reader` only reads (dashboards, `status`, `report`).
--
-- Run it as an administrator; the store's database is named `schedsearch` here. It may be run again at any time.
-- `schedsearch db upgrade` needs a user who may create and change tables (it makes Optuna's, too).
-- Then give people a login:
--     create user 'alice'@'%' identified by '...';  grant schedsearch_worker to 'alice'@'%';
--     MySQL: set default role schedsearch_worker to 'alice'@'%';  MariaDB: set default role schedsearch_worker for 'alice'@'%';

create role if not exists schedsearch_worker;
create role if not exists schedsearch_reader;

grant select, insert, update, delete on `schedsearch`.* to schedsearch_worker;
grant select, show view on `schedsearch`.* to schedsearch_reader;
