-- +goose Up

-- Runs that their sessions hold no longer but have not let go of: they keep their slots. Rows of
-- sessions that have ended count for nothing, and are swept.
CREATE TABLE ending (
  workload_id text COLLATE "C" NOT NULL,
  generation  bigint NOT NULL,
  session_id  text COLLATE "C" NOT NULL,
  worker_id   text COLLATE "C" NOT NULL,
  customer_id text COLLATE "C" NOT NULL,
  lane_id     text COLLATE "C" NOT NULL,
  assigned_at timestamptz NOT NULL,
  ended_at    timestamptz NOT NULL,
  PRIMARY KEY (workload_id, generation, session_id)
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX ending_by_session ON ending (session_id);

-- The workers that gave a workload back lately, and when each may be asked again.
ALTER TABLE workloads ADD declines jsonb;
ALTER TABLE waiting ADD declines jsonb;
ALTER TABLE delayed ADD declines jsonb;

-- When something was last submitted to a lane, so that lanes without work are forgotten, but
-- never one that a submission relies on.
ALTER TABLE lanes ADD touched_at timestamptz NOT NULL DEFAULT niyanta_now();
ALTER TABLE lanes ALTER touched_at DROP DEFAULT;
CREATE INDEX lanes_by_touch ON lanes (touched_at);

-- Suspects: the sessions that died under a workload in a row, and since when it waits for a
-- worker without another suspect.
ALTER TABLE workloads ADD deaths jsonb, ADD suspect_since timestamptz;
ALTER TABLE waiting ADD suspect_since timestamptz;
ALTER TABLE delayed ADD suspect_since timestamptz;
ALTER TABLE held ADD suspect_until timestamptz;
-- What tells whether the end of a session was a death.
ALTER TABLE ended_sessions ADD supervised boolean NOT NULL DEFAULT false, ADD returned boolean NOT NULL DEFAULT false;

-- +goose Down
ALTER TABLE ended_sessions DROP returned, DROP supervised;
ALTER TABLE held DROP suspect_until;
ALTER TABLE delayed DROP suspect_since;
ALTER TABLE waiting DROP suspect_since;
ALTER TABLE workloads DROP suspect_since, DROP deaths;
ALTER TABLE lanes DROP touched_at;
ALTER TABLE delayed DROP declines;
ALTER TABLE waiting DROP declines;
ALTER TABLE workloads DROP declines;
DROP TABLE ending;
