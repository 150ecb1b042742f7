-- +goose Up

-- The key that a customer's values are encrypted with that are written to storages for large values. A
-- coordinator of an earlier version does not know of it, and writes without it.
ALTER TABLE customers ADD encryption_key_id text NOT NULL DEFAULT '' CHECK (length(encryption_key_id) <= 2048);

-- +goose Down
ALTER TABLE customers DROP encryption_key_id;
