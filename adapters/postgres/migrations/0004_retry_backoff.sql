-- +goose Up

-- How long a workload waits before it is tried again. What was submitted before has the default.
ALTER TABLE workload_configs
  ADD backoff_initial_us bigint NOT NULL DEFAULT 5000000,
  ADD backoff_factor double precision NOT NULL DEFAULT 3,
  ADD backoff_max_us bigint NOT NULL DEFAULT 600000000;
ALTER TABLE workloads
  ADD backoff_initial_us bigint NOT NULL DEFAULT 5000000,
  ADD backoff_factor double precision NOT NULL DEFAULT 3,
  ADD backoff_max_us bigint NOT NULL DEFAULT 600000000;

-- What a submission means, beside what it states: its explicit defaults are no other body.
ALTER TABLE idempotency_keys ADD meaning bytea NOT NULL DEFAULT '';

-- The pace of placements now counts only the time in which something had to wait.
DELETE FROM scheduling_pace;

-- +goose Down
DELETE FROM scheduling_pace;
ALTER TABLE idempotency_keys DROP meaning;
ALTER TABLE workloads DROP backoff_initial_us, DROP backoff_factor, DROP backoff_max_us;
ALTER TABLE workload_configs DROP backoff_initial_us, DROP backoff_factor, DROP backoff_max_us;
