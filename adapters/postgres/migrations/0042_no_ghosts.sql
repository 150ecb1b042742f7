-- +goose Up

-- A workload that was cancelled while it was promoted from delayed could stay in waiting, where it took a
-- slot out of each plan for ever.
DELETE FROM waiting q WHERE NOT EXISTS (
  SELECT FROM workloads w WHERE w.workload_id = q.workload_id AND w.status IN ('PENDING', 'REDISTRIBUTING'));

-- +goose Down
SELECT 1;
