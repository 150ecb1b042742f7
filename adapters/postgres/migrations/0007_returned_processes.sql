-- +goose Up

-- The process of a session that has ended. When the process registers again, the session has
-- returned: it did not die.
ALTER TABLE ended_sessions ADD process_id text COLLATE "C" NOT NULL DEFAULT '';
CREATE INDEX ended_sessions_by_process ON ended_sessions (process_id) WHERE process_id <> '';

-- Nothing reads which types workers have ever offered.
DROP TABLE known_types;

-- +goose Down
CREATE TABLE known_types (workload_type text COLLATE "C" PRIMARY KEY);
INSERT INTO known_types SELECT DISTINCT c FROM workers CROSS JOIN LATERAL unnest(capabilities) c WHERE c NOT LIKE '%:%';
DROP INDEX ended_sessions_by_process;
ALTER TABLE ended_sessions DROP process_id;
