-- +goose Up

-- Tickets that can be redeemed once. A key of the configuration has no row in api_keys, so that
-- key_id references none.
CREATE TABLE tickets (
  digest     bytea PRIMARY KEY,
  key_id     text NOT NULL,
  key_prefix text NOT NULL,
  created_at timestamptz NOT NULL
);
CREATE INDEX tickets_by_age ON tickets (created_at);

-- +goose Down
DROP TABLE tickets;
