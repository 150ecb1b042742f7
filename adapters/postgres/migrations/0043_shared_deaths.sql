-- +goose Up

-- How many suspects the session had when it ended, held or about to end. What is cancelled or lost
-- between the death and the sweep must not make the other suspect look alone.
ALTER TABLE ended_sessions ADD COLUMN suspects integer NOT NULL DEFAULT 0;

-- +goose Down
ALTER TABLE ended_sessions DROP COLUMN suspects;
