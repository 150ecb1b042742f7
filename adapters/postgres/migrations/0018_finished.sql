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

-- +goose Down
DROP INDEX delayed_again, waiting_again, workloads_by_type, workloads_by_priority;
DROP TABLE finished;
