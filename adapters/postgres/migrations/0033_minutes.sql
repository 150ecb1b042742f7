-- +goose Up

-- Changes of counts are of a minute. Rows that are there already stay at the beginning of their hour.
ALTER TABLE count_deltas RENAME hour TO minute;
ALTER TABLE count_deltas ADD started bigint NOT NULL DEFAULT 0;

-- How the counts of a customer changed in a minute in UTC. What was unfinished at a time is what is
-- unfinished now, less the changes since.
CREATE TABLE count_minutes (
  customer_id text COLLATE "C" NOT NULL,
  minute      timestamptz NOT NULL,
  started     bigint NOT NULL,
  queued      bigint NOT NULL,
  running     bigint NOT NULL,
  paused      bigint NOT NULL,
  submitted   bigint NOT NULL,
  completed   bigint NOT NULL,
  failed      bigint NOT NULL,
  cancelled   bigint NOT NULL,
  PRIMARY KEY (customer_id, minute)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 500,
  autovacuum_vacuum_cost_delay = 0);
CREATE INDEX count_minutes_by_minute ON count_minutes (minute);

-- +goose Down
DROP TABLE count_minutes;
ALTER TABLE count_deltas DROP started;
ALTER TABLE count_deltas RENAME minute TO hour;
