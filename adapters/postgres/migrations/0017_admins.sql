-- +goose Up

-- What administrators did. It outlives what it was done to, so it references nothing.
CREATE TABLE admin_audit (
  event_id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  at            timestamptz NOT NULL,
  key_id        text COLLATE "C" NOT NULL,
  key_name      text NOT NULL,
  address       text NOT NULL,
  forwarded_for text NOT NULL,
  request_id    text NOT NULL,
  action        text COLLATE "C" NOT NULL,
  target_kind   text NOT NULL,
  target_id     text COLLATE "C" NOT NULL,
  customer_id   text COLLATE "C" NOT NULL,
  before        text NOT NULL, -- JSON or empty, here and below
  after         text NOT NULL
);
CREATE INDEX admin_audit_by_time ON admin_audit (at);
CREATE INDEX admin_audit_of_key ON admin_audit (key_id, event_id);
CREATE INDEX admin_audit_of_action ON admin_audit (action, event_id);
CREATE INDEX admin_audit_of_target ON admin_audit (target_id, event_id);
CREATE INDEX admin_audit_of_customer ON admin_audit (customer_id, event_id);

-- +goose Down
DROP TABLE admin_audit;
