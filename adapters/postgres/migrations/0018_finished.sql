-- +goose Up

-- One narrow row for each workload that has finished, written once at its end. Lists by final status
-- and retention read it. So status and finished_at stay out of the indexes of workloads.
CREATE TABLE finished (
  customer_id   text COLLATE "C" NOT NULL,
  finished_at   timestamptz NOT NULL,
  workload_id   text COLLATE "C" NOT NULL,
  status        text COLLATE "C" NOT NULL CHECK (status IN ('COMPLETED','FAILED','CANCELLED')),
  workload_type text COLLATE "C" NOT NULL,
  created_at    timestamptz NOT NULL,
  PRIMARY KEY (customer_id, finished_at, workload_id)
);
CREATE INDEX finished_by_status ON finished (customer_id, status, created_at, workload_id);

INSERT INTO finished SELECT customer_id, finished_at, workload_id, status, workload_type, created_at
 FROM workloads WHERE finished_at IS NOT NULL;

-- Lists by priority, and of a type.
CREATE INDEX workloads_by_priority ON workloads (customer_id, priority, workload_id);
CREATE INDEX workloads_by_type ON workloads (customer_id, workload_type, created_at, workload_id);
-- What waits again after a run. What waits for its first run is not in these.
CREATE INDEX waiting_again ON waiting (lane_id) WHERE generation > 0;
CREATE INDEX delayed_again ON delayed (lane_id) WHERE generation > 0;

-- Lists by label. A term is the first 64 bits of the SHA-256 of customer, key and value. What has no
-- label is not in the index. Rows enter the index at once, so that no read and no submission meets a
-- long list of pending ones.
ALTER TABLE workload_specs ADD label_terms bigint[];
UPDATE workload_specs s SET label_terms = (
  SELECT array_agg(('x' || encode(substr(sha256(convert_to(
    w.customer_id || chr(31) || l.key || chr(31) || l.value, 'UTF8')), 1, 8), 'hex'))::bit(64)::bigint)
  FROM jsonb_each_text(s.labels) l)
 FROM workloads w WHERE w.workload_id = s.workload_id AND s.labels IS NOT NULL;
CREATE INDEX workload_specs_by_label ON workload_specs USING gin (label_terms) WITH (fastupdate = off)
 WHERE label_terms IS NOT NULL;

-- +goose Down
DROP INDEX workload_specs_by_label;
ALTER TABLE workload_specs DROP label_terms;
DROP INDEX delayed_again, waiting_again, workloads_by_type, workloads_by_priority;
DROP TABLE finished;
