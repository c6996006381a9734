-- Run once by the image of PostgreSQL, as its superuser, when the volume is empty: a role that owns
-- the tables and migrates, and one that runs Octavo and cannot change a table. pgvector is not a
-- trusted extension, so it is made here.
\set ON_ERROR_STOP on
\getenv owner_password OCTAVO_OWNER_PASSWORD
\getenv app_password OCTAVO_APP_PASSWORD
CREATE ROLE octavo_owner LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD :'owner_password';
CREATE ROLE octavo_app LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD :'app_password';
ALTER DATABASE octavo OWNER TO octavo_owner;
CREATE EXTENSION IF NOT EXISTS vector;
