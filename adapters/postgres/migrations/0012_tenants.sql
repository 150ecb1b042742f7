-- +goose Up

-- Keys have names, and operator keys belong to no customer: their customer_id is empty, and owner,
-- which references customers, is NULL. A worker's key is for the worker ids that a pattern matches.
ALTER TABLE api_keys DROP CONSTRAINT api_keys_customer_id_fkey,
  ADD owner text COLLATE "C" GENERATED ALWAYS AS (nullif(customer_id, '')) STORED REFERENCES customers,
  ADD name text NOT NULL DEFAULT '',
  ADD worker_ids text NOT NULL DEFAULT '';

-- When a customer was suspended, NULL: it is not.
ALTER TABLE customers ADD suspended_at timestamptz;

-- +goose Down
ALTER TABLE customers DROP suspended_at;
DELETE FROM api_keys WHERE customer_id = '';
ALTER TABLE api_keys DROP worker_ids, DROP name, DROP owner,
  ADD CONSTRAINT api_keys_customer_id_fkey FOREIGN KEY (customer_id) REFERENCES customers;
