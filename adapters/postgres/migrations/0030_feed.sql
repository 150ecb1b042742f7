-- +goose Up

-- The events of the workloads of all customers, in the order of their ids. A reader of all looks at
-- one place, however many customers there are.
CREATE INDEX audit_feed ON audit (audit_id) WHERE workload_id <> '';

-- +goose Down
DROP INDEX audit_feed;
