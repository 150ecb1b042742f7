-- +goose Up

-- The store's clock. Everything that judges time asks it; tests replace it with one they can
-- advance.
-- +goose StatementBegin
CREATE FUNCTION niyanta_now() RETURNS timestamptz LANGUAGE sql STABLE AS 'SELECT statement_timestamp()';
-- +goose StatementEnd

CREATE TABLE customers (
  customer_id    text COLLATE "C" PRIMARY KEY,
  name           text NOT NULL,
  tier           text NOT NULL,
  max_concurrent integer NOT NULL DEFAULT 0 CHECK (max_concurrent >= 0), -- 0: as the tier says, here and below
  max_queue      integer NOT NULL DEFAULT 0 CHECK (max_queue >= 0),
  rate_per_sec   double precision NOT NULL DEFAULT 0 CHECK (rate_per_sec >= 0),
  burst          integer NOT NULL DEFAULT 0 CHECK (burst >= 0),
  created_at     timestamptz NOT NULL,
  updated_at     timestamptz NOT NULL
);

-- An upper bound of what waits, per customer: grows with submissions and is counted anew only
-- when it reaches the limit. Its row lock makes the admissions of one customer take turns,
-- without touching what other writers lock.
CREATE TABLE queue_bounds (
  customer_id text COLLATE "C" PRIMARY KEY REFERENCES customers,
  bound       bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50);

CREATE TABLE workload_configs (
  config_id              text COLLATE "C" PRIMARY KEY,
  customer_id            text COLLATE "C" NOT NULL REFERENCES customers,
  workload_type          text COLLATE "C" NOT NULL,
  description            text NOT NULL,
  config                 text NOT NULL,
  cpu_cores              double precision NOT NULL,
  memory_mb              integer NOT NULL,
  disk_mb                integer NOT NULL,
  checkpoint_interval_us bigint NOT NULL,
  max_retries            integer NOT NULL,
  timeout_us             bigint NOT NULL,
  created_at             timestamptz NOT NULL,
  updated_at             timestamptz NOT NULL,
  UNIQUE (customer_id, workload_type)
);

CREATE TABLE api_keys (
  key_id      text COLLATE "C" PRIMARY KEY,
  prefix      text COLLATE "C" NOT NULL UNIQUE,
  customer_id text COLLATE "C" NOT NULL REFERENCES customers,
  role        text NOT NULL,
  digest      bytea NOT NULL CHECK (octet_length(digest) = 32),
  created_at  timestamptz NOT NULL,
  expires_at  timestamptz,
  revoked_at  timestamptz
);
CREATE INDEX api_keys_customer ON api_keys (customer_id, created_at);

-- The hot row of a workload. No mutable column is in an index, so that updates stay in the page
-- (HOT); what waits and what runs has narrow tables of its own below.
CREATE TABLE workloads (
  workload_id           text COLLATE "C" PRIMARY KEY,
  customer_id           text COLLATE "C" NOT NULL,
  lane_id               text COLLATE "C" NOT NULL,
  workload_type         text COLLATE "C" NOT NULL,
  config_id             text COLLATE "C" NOT NULL,
  priority              integer NOT NULL,
  max_retries           integer NOT NULL,
  timeout_us            bigint NOT NULL,
  created_at            timestamptz NOT NULL,
  queue_at              timestamptz NOT NULL,

  status                text COLLATE "C" NOT NULL CHECK (status IN
    ('PENDING','SCHEDULED','RUNNING','PAUSED','REDISTRIBUTING','COMPLETED','FAILED','CANCELLED')),
  reason                text NOT NULL DEFAULT '',
  worker_id             text COLLATE "C" NOT NULL DEFAULT '',
  session_id            text COLLATE "C" NOT NULL DEFAULT '',
  generation            bigint NOT NULL DEFAULT 0 CHECK (generation >= 0),
  retry_count           integer NOT NULL DEFAULT 0,
  redistribution_count  integer NOT NULL DEFAULT 0,
  loss_streak           integer NOT NULL DEFAULT 0,
  progress_percent      double precision NOT NULL DEFAULT 0,
  progress_message      text NOT NULL DEFAULT '',
  checkpoint_sequence   bigint NOT NULL DEFAULT 0,
  checkpoint_generation bigint NOT NULL DEFAULT 0,
  pause_requested       boolean NOT NULL DEFAULT false,
  failure_type          text,
  failure_message       text,
  failure_permanent     boolean,
  not_before            timestamptz,
  deadline              timestamptz,
  scheduled_at          timestamptz,
  started_at            timestamptz,
  finished_at           timestamptz,
  updated_at            timestamptz NOT NULL,
  started_generation    bigint NOT NULL DEFAULT 0,
  ended_generation      bigint NOT NULL DEFAULT 0,
  ended_event           text NOT NULL DEFAULT '',
  resumed               boolean NOT NULL DEFAULT false,

  CONSTRAINT final_has_an_end CHECK ((status IN ('COMPLETED','FAILED','CANCELLED')) = (finished_at IS NOT NULL)),
  CONSTRAINT held_by_exactly_one CHECK ((status IN ('SCHEDULED','RUNNING')) = (session_id <> '') AND (session_id <> '') = (worker_id <> '')),
  CONSTRAINT held_has_a_generation CHECK (status NOT IN ('SCHEDULED','RUNNING') OR generation > 0),
  CONSTRAINT deadline_only_while_held CHECK (deadline IS NULL OR status = 'RUNNING'),
  CONSTRAINT pause_only_while_running CHECK (NOT pause_requested OR status = 'RUNNING')
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 1);
CREATE INDEX workloads_of_customer ON workloads (customer_id, created_at, workload_id);

-- What never changes after submission and is only read whole.
CREATE TABLE workload_specs (
  workload_id            text COLLATE "C" PRIMARY KEY,
  input                  text NOT NULL,
  labels                 jsonb,
  affinity               jsonb,
  config                 text NOT NULL,
  cpu_cores              double precision NOT NULL,
  memory_mb              integer NOT NULL,
  disk_mb                integer NOT NULL,
  checkpoint_interval_us bigint NOT NULL,
  run_at                 timestamptz
);

CREATE TABLE workload_results (
  workload_id text COLLATE "C" PRIMARY KEY,
  result      text NOT NULL
);

CREATE TABLE idempotency_keys (
  customer_id     text COLLATE "C" NOT NULL,
  idempotency_key text COLLATE "C" NOT NULL,
  digest          bytea NOT NULL,
  workload_id     text COLLATE "C" NOT NULL,
  created_at      timestamptz NOT NULL,
  PRIMARY KEY (customer_id, idempotency_key)
);

CREATE TABLE lanes (
  lane_id       text COLLATE "C" PRIMARY KEY,
  customer_id   text COLLATE "C" NOT NULL,
  workload_type text COLLATE "C" NOT NULL,
  affinity      jsonb,
  cpu_cores     double precision NOT NULL,
  memory_mb     integer NOT NULL,
  disk_mb       integer NOT NULL
);
CREATE INDEX lanes_of_customer ON lanes (customer_id);

-- What may be placed now, what may be later, what runs, what is paused: each workload that is not
-- final has a row in exactly one of these four.
CREATE TABLE waiting (
  lane_id     text COLLATE "C" NOT NULL,
  queue_at    timestamptz NOT NULL,
  workload_id text COLLATE "C" NOT NULL,
  generation  bigint NOT NULL,
  created_at  timestamptz NOT NULL,
  PRIMARY KEY (lane_id, queue_at, workload_id)
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_cost_delay = 0,
        autovacuum_analyze_scale_factor = 0.1);
CREATE INDEX waiting_by_age ON waiting (lane_id, created_at, workload_id);

CREATE TABLE delayed (
  workload_id text COLLATE "C" PRIMARY KEY,
  not_before  timestamptz NOT NULL,
  lane_id     text COLLATE "C" NOT NULL,
  queue_at    timestamptz NOT NULL,
  generation  bigint NOT NULL,
  created_at  timestamptz NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX delayed_by_due ON delayed (not_before);
CREATE INDEX delayed_by_lane ON delayed (lane_id);

CREATE TABLE held (
  workload_id     text COLLATE "C" PRIMARY KEY,
  session_id      text COLLATE "C" NOT NULL,
  worker_id       text COLLATE "C" NOT NULL,
  customer_id     text COLLATE "C" NOT NULL,
  lane_id         text COLLATE "C" NOT NULL,
  generation      bigint NOT NULL,
  running         boolean NOT NULL,
  pause_requested boolean NOT NULL,
  scheduled_at    timestamptz NOT NULL,
  deadline        timestamptz
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX held_by_session ON held (session_id, lane_id);
CREATE INDEX held_by_customer ON held (customer_id);

CREATE TABLE paused (
  workload_id text COLLATE "C" PRIMARY KEY,
  customer_id text COLLATE "C" NOT NULL
);
CREATE INDEX paused_by_customer ON paused (customer_id);

CREATE TABLE checkpoints (
  workload_id text COLLATE "C" NOT NULL,
  sequence    bigint NOT NULL CHECK (sequence > 0),
  generation  bigint NOT NULL,
  size        integer NOT NULL,
  encoding    text NOT NULL,
  checksum    bytea NOT NULL,
  data        bytea NOT NULL,
  created_at  timestamptz NOT NULL,
  PRIMARY KEY (workload_id, sequence)
);
ALTER TABLE checkpoints ALTER COLUMN data SET STORAGE EXTERNAL; -- compressed already where it pays

CREATE TABLE workers (
  worker_id     text COLLATE "C" PRIMARY KEY,
  session_id    text COLLATE "C" NOT NULL,
  status        text NOT NULL CHECK (status IN ('HEALTHY','DRAINING','DEAD')),
  capabilities  text[] NOT NULL,
  slots         integer NOT NULL CHECK (slots > 0),
  cpu_cores     double precision NOT NULL,
  memory_mb     integer NOT NULL,
  disk_mb       integer NOT NULL,
  tags          jsonb,
  version       text NOT NULL,
  registered_at timestamptz NOT NULL
);

-- Heartbeats write here and nowhere else. live is what both a renewal and an expiry look at, in
-- the row they lock.
CREATE TABLE worker_leases (
  worker_id    text COLLATE "C" PRIMARY KEY,
  session_id   text COLLATE "C" NOT NULL,
  live         boolean NOT NULL,
  heartbeat_at timestamptz NOT NULL,
  lease_until  timestamptz NOT NULL
) WITH (fillfactor = 30, autovacuum_vacuum_threshold = 100, autovacuum_vacuum_cost_delay = 0);

-- Sessions that have ended, and how: they never come back, and what they held was lost that way.
CREATE TABLE ended_sessions (
  session_id text COLLATE "C" PRIMARY KEY,
  worker_id  text COLLATE "C" NOT NULL,
  loss       text NOT NULL,
  ended_at   timestamptz NOT NULL
);

CREATE TABLE known_types (workload_type text COLLATE "C" PRIMARY KEY);

CREATE TABLE leader_lease (
  one         boolean PRIMARY KEY DEFAULT true CHECK (one),
  holder      text NOT NULL DEFAULT '',
  epoch       bigint NOT NULL DEFAULT 0,
  lease_until timestamptz NOT NULL DEFAULT '-infinity'
) WITH (fillfactor = 10);
INSERT INTO leader_lease DEFAULT VALUES;

-- One row per batch that committed, for as long as its answer may be missed: what it says
-- survives a crash of the server, which the id of a transaction does not (after recovery, ids
-- that were never written are given out again).
CREATE TABLE commits (
  token        uuid PRIMARY KEY,
  committed_at timestamptz NOT NULL DEFAULT statement_timestamp()
) WITH (autovacuum_vacuum_scale_factor = 0.1, autovacuum_vacuum_cost_delay = 0);

CREATE SEQUENCE audit_ids;
CREATE TABLE audit (
  audit_id            bigint NOT NULL DEFAULT nextval('audit_ids'),
  at                  timestamptz NOT NULL,
  workload_id         text COLLATE "C" NOT NULL,
  customer_id         text COLLATE "C" NOT NULL,
  type                text NOT NULL,
  actor_kind          text NOT NULL,
  actor_id            text NOT NULL,
  from_status         text NOT NULL,
  to_status           text NOT NULL,
  generation          bigint NOT NULL,
  worker_id           text COLLATE "C" NOT NULL,
  checkpoint_sequence bigint NOT NULL,
  reason              text NOT NULL
) PARTITION BY RANGE (at);
CREATE INDEX audit_of_workload ON audit (workload_id, audit_id) WHERE workload_id <> '';
CREATE INDEX audit_of_worker ON audit (worker_id, audit_id) WHERE workload_id = '';
-- Catches what no month was prepared for, so that a write never fails for it.
CREATE TABLE audit_default PARTITION OF audit DEFAULT;

-- Prepares the partitions of this month and the ahead that follow. Months that the default
-- partition has rows of stay there.
-- +goose StatementBegin
CREATE FUNCTION niyanta_prepare_months(ahead integer) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  first timestamptz;
  name  text;
BEGIN
  PERFORM pg_advisory_xact_lock(hashtextextended('niyanta.audit_months', 0));
  FOR i IN 0..ahead LOOP
    first := (date_trunc('month', statement_timestamp() AT TIME ZONE 'UTC') + make_interval(months => i)) AT TIME ZONE 'UTC';
    name := 'audit_' || to_char(first AT TIME ZONE 'UTC', 'YYYY_MM');
    CONTINUE WHEN to_regclass(name) IS NOT NULL;
    CONTINUE WHEN EXISTS (SELECT FROM audit_default d WHERE d.at >= first AND d.at < first + interval '1 month');
    EXECUTE format('CREATE TABLE %I PARTITION OF audit FOR VALUES FROM (%L) TO (%L)',
      name, first, (first AT TIME ZONE 'UTC' + interval '1 month') AT TIME ZONE 'UTC');
  END LOOP;
END $$;
-- +goose StatementEnd
SELECT niyanta_prepare_months(2);

CREATE TABLE log_positions (
  workload_id text COLLATE "C" PRIMARY KEY,
  last_seq    bigint NOT NULL
) WITH (fillfactor = 60);
CREATE TABLE workload_logs (
  workload_id text COLLATE "C" NOT NULL,
  seq         bigint NOT NULL,
  generation  bigint NOT NULL,
  at          timestamptz NOT NULL,
  level       text NOT NULL,
  stream      text NOT NULL,
  message     text NOT NULL,
  PRIMARY KEY (workload_id, seq)
);

-- +goose Down
DROP TABLE workload_logs, log_positions, audit, commits, leader_lease, known_types, ended_sessions, worker_leases, workers, checkpoints,
  paused, held, delayed, waiting, lanes, idempotency_keys, workload_results, workload_specs, workloads, api_keys,
  workload_configs, queue_bounds, customers;
DROP SEQUENCE audit_ids;
DROP FUNCTION niyanta_prepare_months(integer);
DROP FUNCTION niyanta_now();
