-- +goose Up

-- When the deletion of a customer began, NULL: it is not being deleted.
ALTER TABLE customers ADD deleting_at timestamptz;
CREATE INDEX customers_deleting ON customers (customer_id) WHERE deleting_at IS NOT NULL;
CREATE INDEX workload_archive_of_customer ON workload_archive (customer_id);

-- The ids of deleted customers, from the beginning of the deletion on. They are never given out again.
CREATE TABLE deleted_customers (
  customer_id text COLLATE "C" PRIMARY KEY,
  deleted_at  timestamptz NOT NULL,
  erased_at   timestamptz -- when nothing of the customer was left
);

-- +goose Down
DROP INDEX workload_archive_of_customer;
DROP TABLE deleted_customers;
DROP INDEX customers_deleting;
ALTER TABLE customers DROP deleting_at;
