-- +goose Up

-- Workloads of a lane now have one priority, so that how long they have waited is all that orders
-- them: queue_at is when a workload began to wait. Tier and policy are applied when lanes are
-- merged, and so count at once for what already waits.
ALTER TABLE lanes ADD priority integer NOT NULL DEFAULT 10;
INSERT INTO lanes (lane_id, customer_id, workload_type, affinity, cpu_cores, memory_mb, disk_mb, priority)
 SELECT DISTINCT l.lane_id || '@' || w.priority, l.customer_id, l.workload_type, l.affinity, l.cpu_cores, l.memory_mb, l.disk_mb, w.priority
 FROM lanes l JOIN workloads w USING (lane_id) WHERE w.status NOT IN ('COMPLETED', 'FAILED', 'CANCELLED');
DELETE FROM lanes WHERE lane_id !~ '@[0-9]+$';
ALTER TABLE lanes ALTER priority DROP DEFAULT;

UPDATE workloads w SET lane_id = lane_id || '@' || priority,
 queue_at = greatest(created_at, (SELECT s.run_at FROM workload_specs s WHERE s.workload_id = w.workload_id))
 WHERE status NOT IN ('COMPLETED', 'FAILED', 'CANCELLED'); -- the others are never queued again
UPDATE held h SET lane_id = w.lane_id FROM workloads w WHERE w.workload_id = h.workload_id;
UPDATE delayed d SET lane_id = w.lane_id, queue_at = w.queue_at FROM workloads w WHERE w.workload_id = d.workload_id;
DROP INDEX waiting_by_age;
UPDATE waiting q SET lane_id = w.lane_id, queue_at = w.queue_at FROM workloads w WHERE w.workload_id = q.workload_id;
ALTER TABLE waiting DROP created_at;
ALTER TABLE delayed DROP created_at;

-- What the timers of running workloads look at: only what is due is read.
CREATE INDEX held_by_deadline ON held (deadline) WHERE deadline IS NOT NULL;

ALTER TABLE customers ADD no_preemption boolean NOT NULL DEFAULT false;

-- How many placements the leader made lately; the leader replaces it, estimates are made from it.
CREATE TABLE scheduling_pace (
  one       boolean PRIMARY KEY DEFAULT true CHECK (one),
  at        timestamptz NOT NULL,
  window_us bigint NOT NULL,
  types     jsonb NOT NULL,
  customers jsonb NOT NULL
) WITH (fillfactor = 30);

-- +goose Down
DROP TABLE scheduling_pace;
ALTER TABLE customers DROP no_preemption;
DROP INDEX held_by_deadline;
ALTER TABLE waiting ADD created_at timestamptz;
ALTER TABLE delayed ADD created_at timestamptz;
INSERT INTO lanes (lane_id, customer_id, workload_type, affinity, cpu_cores, memory_mb, disk_mb, priority)
 SELECT DISTINCT ON (regexp_replace(lane_id, '@[0-9]+$', '')) regexp_replace(lane_id, '@[0-9]+$', ''), customer_id, workload_type, affinity, cpu_cores, memory_mb, disk_mb, 0
 FROM lanes;
DELETE FROM lanes WHERE lane_id ~ '@[0-9]+$';
ALTER TABLE lanes DROP priority;
-- By priority as the default policy had it: priority x tier weight x 12 s before the submission.
UPDATE workloads w SET lane_id = regexp_replace(lane_id, '@[0-9]+$', ''), queue_at = created_at - priority * interval '12 s' *
 (SELECT CASE c.tier WHEN 'enterprise' THEN 100 WHEN 'premium' THEN 50 WHEN 'standard' THEN 10 ELSE 1 END FROM customers c WHERE c.customer_id = w.customer_id) WHERE status NOT IN ('COMPLETED', 'FAILED', 'CANCELLED');
UPDATE held h SET lane_id = w.lane_id FROM workloads w WHERE w.workload_id = h.workload_id;
UPDATE delayed d SET lane_id = w.lane_id, queue_at = w.queue_at, created_at = w.created_at FROM workloads w WHERE w.workload_id = d.workload_id;
UPDATE waiting q SET lane_id = w.lane_id, queue_at = w.queue_at, created_at = w.created_at FROM workloads w WHERE w.workload_id = q.workload_id;
ALTER TABLE waiting ALTER created_at SET NOT NULL;
ALTER TABLE delayed ALTER created_at SET NOT NULL;
CREATE INDEX waiting_by_age ON waiting (lane_id, created_at, workload_id);
