#!/bin/bash
# Runs once, when the volume of the database is empty: a database and a role each for the service, the studies and MLflow.
# No role can connect to another's database, so the process of a study, which knows the studies' alone, reads no user or token.
set -euo pipefail

role() { # role NAME PASSWORD
    psql -v ON_ERROR_STOP=1 -v name="$1" -v password="$2" --username "$POSTGRES_USER" --dbname postgres --quiet <<'SQL'
CREATE ROLE :"name" LOGIN PASSWORD :'password';
CREATE DATABASE :"name" OWNER :"name";
REVOKE ALL ON DATABASE :"name" FROM PUBLIC;
SQL
}

role losssearch "${LOSSSEARCH_DB_PASSWORD:?}"
role studies "${STUDIES_DB_PASSWORD:?}"
role mlflow "${MLFLOW_DB_PASSWORD:?}"
