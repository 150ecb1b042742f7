-- +goose Up

-- How long the run of what waits may last, and by when a run ends; NULL: without
-- limit, or not known. Rows of older coordinators have neither.
ALTER TABLE waiting ADD timeout_us bigint;
ALTER TABLE delayed ADD timeout_us bigint;
ALTER TABLE held ADD ends_by timestamptz;

-- +goose Down
ALTER TABLE held DROP ends_by;
ALTER TABLE delayed DROP timeout_us;
ALTER TABLE waiting DROP timeout_us;
