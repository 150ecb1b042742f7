-- +goose Up

-- The names of models may be longer than an index holds.
ALTER TABLE demand_hours DROP CONSTRAINT demand_hours_pkey;
CREATE UNIQUE INDEX demand_hours_class ON demand_hours (hour, md5(resources::text));

-- +goose Down
DROP INDEX demand_hours_class;
ALTER TABLE demand_hours ADD PRIMARY KEY (hour, resources);
