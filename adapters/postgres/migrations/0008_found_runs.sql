-- +goose Up

-- When a worker's inventory told of a run that the store did not count as its session's any more. An
-- assignment that was planned before is refused.
ALTER TABLE ending ADD found_at timestamptz;

-- +goose Down
ALTER TABLE ending DROP COLUMN found_at;
