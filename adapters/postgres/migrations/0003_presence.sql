-- +goose Up

-- Each coordinator writes its row every two seconds. That the write succeeds is how it knows that
-- the database takes writes.
CREATE TABLE presence (
  coordinator_id text COLLATE "C" PRIMARY KEY,
  seen_at        timestamptz NOT NULL
) WITH (fillfactor = 30);

-- +goose Down
DROP TABLE presence;
