-- +goose Up

-- What was submitted and asks for devices, by hour. The rows of demand_deltas are folded into
-- demand_hours.
CREATE TABLE demand_deltas (
  hour      timestamptz NOT NULL,
  resources jsonb NOT NULL,
  submitted bigint NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_cost_delay = 0);
CREATE TABLE demand_hours (
  hour      timestamptz NOT NULL,
  resources jsonb NOT NULL,
  submitted bigint NOT NULL,
  PRIMARY KEY (hour, resources)
);

-- +goose Down
DROP TABLE demand_hours, demand_deltas;
