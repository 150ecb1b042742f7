-- +goose Up

-- What live updates tell about progress. NULL: none, which takes no room.
ALTER TABLE audit ADD progress_percent double precision, ADD progress_message text;

-- The events of a customer's workloads, in the order of their ids.
CREATE INDEX audit_of_customer ON audit (customer_id, audit_id) WHERE workload_id <> '';

-- +goose Down
DROP INDEX audit_of_customer;
ALTER TABLE audit DROP progress_message, DROP progress_percent;
