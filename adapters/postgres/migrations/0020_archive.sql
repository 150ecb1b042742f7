-- +goose Up

-- How long workloads and their log lines are kept after they have finished, in days; 0: as the
-- installation says.
ALTER TABLE customers ADD keep_workloads_days integer NOT NULL DEFAULT 0 CHECK (keep_workloads_days >= 0),
 ADD keep_logs_days integer NOT NULL DEFAULT 0 CHECK (keep_logs_days >= 0);

-- The last of a customer's finished workloads whose log lines were removed.
CREATE TABLE log_purges (
  customer_id text COLLATE "C" PRIMARY KEY REFERENCES customers ON DELETE CASCADE,
  finished_at timestamptz NOT NULL,
  workload_id text COLLATE "C" NOT NULL
) WITH (fillfactor = 70);

-- Workloads that were kept for their time. A row has all columns of the tables that it came from:
-- a migration that adds one there adds it here.
CREATE TABLE workload_whole AS SELECT *, now() AS archived_at FROM workloads
 JOIN workload_specs USING (workload_id) LEFT JOIN workload_results USING (workload_id) WITH NO DATA;
CREATE TABLE workload_archive (LIKE workload_whole) PARTITION BY RANGE (archived_at);
DROP TABLE workload_whole;
ALTER TABLE workload_archive ALTER workload_id SET NOT NULL, ALTER customer_id SET NOT NULL, ALTER archived_at SET NOT NULL;
CREATE INDEX workload_archive_by_id ON workload_archive (workload_id);
-- Catches what no month was prepared for.
CREATE TABLE workload_archive_default PARTITION OF workload_archive DEFAULT;
SELECT niyanta_prepare_months('workload_archive', 2);

-- +goose Down
DROP TABLE workload_archive, log_purges;
ALTER TABLE customers DROP keep_logs_days, DROP keep_workloads_days;
