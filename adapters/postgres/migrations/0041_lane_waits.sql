-- +goose Up

-- How long the workloads of each lane had waited that were placed lately. A leader of an earlier version
-- sets at but not lanes_at: then they are old, and do not count.
ALTER TABLE scheduling_pace ADD lanes jsonb NOT NULL DEFAULT '{}', ADD lanes_at timestamptz;

-- +goose Down
ALTER TABLE scheduling_pace DROP lanes_at, DROP lanes;
