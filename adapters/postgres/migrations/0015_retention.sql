-- +goose Up

-- What time removes is found by index.
CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at);
CREATE INDEX count_hours_by_age ON count_hours (hour);
-- Totals that count nothing are deleted now and then, not after each fold. Without this index an
-- update of a total stays in its page.
DROP INDEX count_totals_empty;

-- Prepares the partitions of this month and the ahead that follow, of a table that is partitioned by
-- month. Months that the default partition has rows of stay there.
DROP FUNCTION niyanta_prepare_months(integer);
-- +goose StatementBegin
CREATE FUNCTION niyanta_prepare_months(parent text, ahead integer) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  starts timestamptz;
  ends   timestamptz;
  name   text;
  stamp  text := (SELECT a.attname FROM pg_partitioned_table p
                  JOIN pg_attribute a ON a.attrelid = p.partrelid AND a.attnum = p.partattrs[0] WHERE p.partrelid = parent::regclass);
  taken  boolean;
BEGIN
  PERFORM pg_advisory_xact_lock(hashtextextended('niyanta.' || parent || '_months', 0));
  FOR i IN 0..ahead LOOP
    starts := (date_trunc('month', niyanta_now() AT TIME ZONE 'UTC') + make_interval(months => i)) AT TIME ZONE 'UTC';
    ends := (starts AT TIME ZONE 'UTC' + interval '1 month') AT TIME ZONE 'UTC';
    name := parent || '_' || to_char(starts AT TIME ZONE 'UTC', 'YYYY_MM');
    CONTINUE WHEN to_regclass(name) IS NOT NULL;
    EXECUTE format('SELECT EXISTS (SELECT FROM %I WHERE %I >= $1 AND %I < $2)', parent || '_default', stamp, stamp)
      INTO taken USING starts, ends;
    CONTINUE WHEN taken;
    EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (%L) TO (%L)', name, parent, starts, ends);
  END LOOP;
END $$;
-- +goose StatementEnd

-- Drops the oldest month of a table that is partitioned by month, if it ended before a time. It
-- returns how many rows the month had, as the planner knows it, or NULL if none was dropped.
-- +goose StatementBegin
CREATE FUNCTION niyanta_drop_month(parent text, cutoff timestamptz) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
  oldest record;
BEGIN
  SELECT c.oid::regclass AS name, greatest(c.reltuples, 0)::bigint AS rows INTO oldest
  FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
  WHERE i.inhparent = parent::regclass AND c.relname ~ '_\d{4}_\d{2}$'
   AND (to_date(right(c.relname, 7), 'YYYY_MM') + interval '1 month') AT TIME ZONE 'UTC' <= cutoff
  ORDER BY right(c.relname, 7) LIMIT 1;
  IF NOT FOUND THEN
    RETURN NULL;
  END IF;
  EXECUTE 'DROP TABLE ' || oldest.name;
  RETURN oldest.rows;
END $$;
-- +goose StatementEnd

-- +goose Down
DROP FUNCTION niyanta_drop_month(text, timestamptz);
DROP FUNCTION niyanta_prepare_months(text, integer);
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
CREATE INDEX count_totals_empty ON count_totals (customer_id, workload_type) WHERE queued = 0 AND running = 0 AND paused = 0;
DROP INDEX count_hours_by_age;
DROP INDEX idempotency_keys_by_age;
