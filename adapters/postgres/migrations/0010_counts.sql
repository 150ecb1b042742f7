-- +goose Up

-- How long the runs of a workload that have ended ran.
ALTER TABLE workloads ADD executed_us bigint NOT NULL DEFAULT 0;

-- What transactions change in the counts: one row per customer and type. They only insert, so they
-- never wait for each other. The leader folds the rows into the totals below. A count is the total and
-- the rows that are not folded yet.
CREATE TABLE count_deltas (
  customer_id   text COLLATE "C" NOT NULL,
  workload_type text COLLATE "C" NOT NULL,
  hour          timestamptz NOT NULL,
  queued        bigint NOT NULL,
  running       bigint NOT NULL,
  paused        bigint NOT NULL,
  submitted     bigint NOT NULL,
  completed     bigint NOT NULL,
  failed        bigint NOT NULL,
  cancelled     bigint NOT NULL,
  executed_us   bigint NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX count_deltas_of_customer ON count_deltas (customer_id);

-- What is unfinished. A total may be below zero while a row that it belongs with is not folded.
CREATE TABLE count_totals (
  customer_id   text COLLATE "C" NOT NULL,
  workload_type text COLLATE "C" NOT NULL,
  queued        bigint NOT NULL,
  running       bigint NOT NULL,
  paused        bigint NOT NULL,
  PRIMARY KEY (customer_id, workload_type)
) WITH (fillfactor = 50, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX count_totals_empty ON count_totals (customer_id, workload_type) WHERE queued = 0 AND running = 0 AND paused = 0;

-- What was submitted and what finished, by the hour in UTC.
CREATE TABLE count_hours (
  customer_id   text COLLATE "C" NOT NULL,
  hour          timestamptz NOT NULL,
  workload_type text COLLATE "C" NOT NULL,
  submitted     bigint NOT NULL,
  completed     bigint NOT NULL,
  failed        bigint NOT NULL,
  cancelled     bigint NOT NULL,
  executed_us   bigint NOT NULL,
  PRIMARY KEY (customer_id, hour, workload_type)
) WITH (fillfactor = 70, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_cost_delay = 0);

-- What was stored before is counted once. How long it ran is not known.
INSERT INTO count_totals
 SELECT customer_id, workload_type, count(*) FILTER (WHERE status IN ('PENDING','REDISTRIBUTING')),
  count(*) FILTER (WHERE status IN ('SCHEDULED','RUNNING')), count(*) FILTER (WHERE status = 'PAUSED')
 FROM workloads WHERE finished_at IS NULL GROUP BY 1, 2;
INSERT INTO count_hours
 SELECT customer_id, date_trunc('hour', at, 'UTC'), workload_type, count(*) FILTER (WHERE status = ''),
  count(*) FILTER (WHERE status = 'COMPLETED'), count(*) FILTER (WHERE status = 'FAILED'),
  count(*) FILTER (WHERE status = 'CANCELLED'), 0
 FROM (SELECT customer_id, workload_type, created_at AS at, '' AS status FROM workloads
  UNION ALL SELECT customer_id, workload_type, finished_at, status FROM workloads WHERE finished_at IS NOT NULL) w
 GROUP BY 1, 2, 3;

-- +goose Down
DROP TABLE count_hours, count_totals, count_deltas;
ALTER TABLE workloads DROP COLUMN executed_us;
