-- +goose Up

-- Archived workloads are also read month by month, in this order.
DROP INDEX workload_archive_of_customer;
CREATE INDEX workload_archive_by_customer ON workload_archive (customer_id, workload_id);

-- +goose Down
DROP INDEX workload_archive_by_customer;
CREATE INDEX workload_archive_of_customer ON workload_archive (customer_id);
