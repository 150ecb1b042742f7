-- +goose Up

-- The request that submitted a workload, and the span that its client sent.
ALTER TABLE workloads ADD COLUMN request_id text;
ALTER TABLE workloads ADD COLUMN traceparent text;
ALTER TABLE workload_archive ADD COLUMN request_id text;
ALTER TABLE workload_archive ADD COLUMN traceparent text;

-- +goose Down
ALTER TABLE workload_archive DROP COLUMN traceparent;
ALTER TABLE workload_archive DROP COLUMN request_id;
ALTER TABLE workloads DROP COLUMN traceparent;
ALTER TABLE workloads DROP COLUMN request_id;
