-- +goose Up

-- The request that cancelled the workload: only the same request repeats the cancel.
ALTER TABLE workloads ADD cancel_request text NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE workloads DROP COLUMN cancel_request;
