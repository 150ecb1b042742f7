-- +goose Up

-- The worker that holds a workload, or held it last. It is not known of what ended before.
ALTER TABLE workloads ADD last_worker_id text COLLATE "C" NOT NULL DEFAULT '';
UPDATE workloads SET last_worker_id = worker_id WHERE worker_id <> '';

-- What goes with the message of a log line, and its level in upper case.
ALTER TABLE workload_logs ADD details text COLLATE "C" NOT NULL DEFAULT '';
UPDATE workload_logs SET level = upper(level) WHERE level <> upper(level);

-- +goose Down
UPDATE workload_logs SET level = lower(level) WHERE level <> lower(level);
ALTER TABLE workload_logs DROP details;
ALTER TABLE workloads DROP last_worker_id;
