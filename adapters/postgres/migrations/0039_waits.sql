-- +goose Up

-- How long the workloads of each tier had waited that were placed lately. A leader of an earlier version
-- sets at but not waits_at: then the waits are old, and do not count.
ALTER TABLE scheduling_pace ADD waits jsonb NOT NULL DEFAULT '{}', ADD waits_at timestamptz;

-- +goose Down
ALTER TABLE scheduling_pace DROP waits_at, DROP waits;
