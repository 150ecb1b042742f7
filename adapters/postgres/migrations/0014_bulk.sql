-- +goose Up

-- The request that cancelled the workload: only the same request repeats the cancel.
ALTER TABLE workloads ADD cancel_request text NOT NULL DEFAULT '';

-- The workload that this one runs again; empty: none.
ALTER TABLE workload_specs ADD retry_of text COLLATE "C" NOT NULL DEFAULT '';

-- The answers to requests with an idempotency key that concern many workloads.
CREATE TABLE answers (
  customer_id text COLLATE "C" NOT NULL,
  request     text COLLATE "C" NOT NULL,
  digest      bytea NOT NULL,
  body        text NOT NULL,
  created_at  timestamptz NOT NULL,
  PRIMARY KEY (customer_id, request)
);
CREATE INDEX answers_by_age ON answers (created_at);

-- +goose Down
DROP TABLE answers;
ALTER TABLE workload_specs DROP COLUMN retry_of;
ALTER TABLE workloads DROP COLUMN cancel_request;
