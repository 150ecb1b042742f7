-- +goose Up

-- What runs used: their CPU time, and the most memory of any.
ALTER TABLE audit ADD cpu_ms bigint, ADD peak_memory_mb bigint;
ALTER TABLE count_deltas ADD cpu_ms bigint NOT NULL DEFAULT 0, ADD peak_memory_mb bigint NOT NULL DEFAULT 0;
ALTER TABLE count_hours ADD cpu_ms bigint NOT NULL DEFAULT 0, ADD peak_memory_mb bigint NOT NULL DEFAULT 0;

-- +goose Down
ALTER TABLE count_hours DROP peak_memory_mb, DROP cpu_ms;
ALTER TABLE count_deltas DROP peak_memory_mb, DROP cpu_ms;
ALTER TABLE audit DROP peak_memory_mb, DROP cpu_ms;
