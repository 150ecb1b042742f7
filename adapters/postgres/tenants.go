package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/niyanta/niyanta/core/domain"
)

type customers struct{ s *Store }

const customerColumns = "c.customer_id, c.name, c.tier, c.max_concurrent, c.max_queue, c.rate_per_sec, c.burst, c.no_preemption, c.created_at, c.updated_at"

func scanCustomer(row pgx.CollectableRow, more ...any) (domain.Customer, error) {
	var c domain.Customer
	o := &c.Overrides
	targets := []any{&c.ID, &c.Name, &c.Tier, &o.MaxConcurrent, &o.MaxQueueDepth, &o.RatePerSec, &o.Burst, &c.NoPreemption, &c.CreatedAt, &c.UpdatedAt}
	err := row.Scan(append(targets, more...)...)
	c.CreatedAt, c.UpdatedAt = c.CreatedAt.UTC(), c.UpdatedAt.UTC()
	return c, err
}

func oneCustomer(row pgx.CollectableRow) (domain.Customer, error) { return scanCustomer(row) }

// only returns the row of a result that has at most one, or what else went wrong.
func only[T any](rows []T, err error, missing *domain.Error) (T, error) {
	var none T
	switch {
	case err != nil:
		return none, err
	case len(rows) == 0:
		return none, missing
	}
	return rows[0], nil
}

// violated reports which unique constraint an error is about.
func violated(err error) string {
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == uniqueViolation {
		return pg.ConstraintName
	}
	return ""
}

// Create implements ports.CustomerStore.
func (c customers) Create(ctx context.Context, cust domain.Customer) (domain.Customer, error) {
	o := cust.Overrides
	rows, err := query(ctx, c.s.pool, oneCustomer, `WITH c AS (
  INSERT INTO customers (customer_id, name, tier, max_concurrent, max_queue, rate_per_sec, burst, no_preemption, created_at, updated_at)
  VALUES ($1::text, $2::text, $3::text, $4::integer, $5::integer, $6::double precision, $7::integer, $8::boolean, niyanta_now(), niyanta_now()) RETURNING *),
 b AS (INSERT INTO queue_bounds (customer_id) SELECT customer_id FROM c)
 SELECT `+customerColumns+` FROM c`, string(cust.ID), cust.Name, string(cust.Tier), o.MaxConcurrent, o.MaxQueueDepth, o.RatePerSec, o.Burst, cust.NoPreemption)
	if violated(err) != "" {
		return domain.Customer{}, domain.NewError(domain.CodeConflict, "customer %s exists already", cust.ID).With("field", "customer_id")
	}
	return only(rows, err, domain.NotFound("customer"))
}

// Get implements ports.CustomerStore.
func (c customers) Get(ctx context.Context, id domain.CustomerID) (domain.Customer, error) {
	rows, err := query(ctx, c.s.pool, oneCustomer, "SELECT "+customerColumns+" FROM customers c WHERE c.customer_id = $1::text", string(id))
	return only(rows, err, domain.NotFound("customer"))
}

// List implements ports.CustomerStore.
func (c customers) List(ctx context.Context, after domain.CustomerID, limit int) ([]domain.Customer, error) {
	return query(ctx, c.s.pool, oneCustomer, "SELECT "+customerColumns+` FROM customers c WHERE c.customer_id > $1::text
 ORDER BY c.customer_id LIMIT $2::bigint`, string(after), limit)
}

// Update implements ports.CustomerStore.
func (c customers) Update(ctx context.Context, id domain.CustomerID, p domain.CustomerPatch) (domain.Customer, error) {
	return inTx(ctx, c.s, c.s.pool, func(ctx context.Context, t *tx) (domain.Customer, error) {
		var found []domain.Customer
		t.queue("SELECT "+customerColumns+" FROM customers c WHERE c.customer_id = $1::text FOR NO KEY UPDATE", string(id)).Query(func(rows pgx.Rows) (err error) {
			found, err = pgx.CollectRows(rows, oneCustomer)
			return err
		})
		if err := t.read(ctx); err != nil {
			return domain.Customer{}, err
		}
		if len(found) == 0 {
			return domain.Customer{}, domain.NotFound("customer")
		}
		next, err := p.Apply(found[0], t.now)
		if err != nil {
			return domain.Customer{}, err
		}
		o := next.Overrides
		t.queue(`UPDATE customers SET name = $2, tier = $3, max_concurrent = $4, max_queue = $5, rate_per_sec = $6, burst = $7, no_preemption = $8, updated_at = $9
 WHERE customer_id = $1`, string(id), next.Name, string(next.Tier), o.MaxConcurrent, o.MaxQueueDepth, o.RatePerSec, o.Burst, next.NoPreemption, next.UpdatedAt)
		return next, t.commit(ctx)
	})
}

// GetMany implements ports.CustomerStore.
func (c customers) GetMany(ctx context.Context, ids []domain.CustomerID) (map[domain.CustomerID]domain.Customer, error) {
	found, err := query(ctx, c.s.pool, oneCustomer, "SELECT "+customerColumns+" FROM customers c WHERE c.customer_id = ANY($1::text[])", texts(ids))
	out := make(map[domain.CustomerID]domain.Customer, len(found))
	for _, cust := range found {
		out[cust.ID] = cust
	}
	return out, err
}

type configs struct{ s *Store }

const configColumns = `c.config_id, c.customer_id, c.workload_type, c.description, c.config, c.cpu_cores, c.memory_mb, c.disk_mb,
 c.checkpoint_interval_us, c.max_retries, c.timeout_us, c.backoff_initial_us, c.backoff_factor, c.backoff_max_us,
 c.created_at, c.updated_at`

func scanConfig(row pgx.CollectableRow) (domain.WorkloadConfig, error) {
	var c domain.WorkloadConfig
	var interval, timeout, backoffInitial, backoffMax int64
	r := &c.RunConfig
	err := row.Scan(&c.ID, &c.CustomerID, &c.Type, &c.Description, &r.Config, &r.Resources.CPUCores, &r.Resources.MemoryMB, &r.Resources.DiskMB,
		&interval, &r.MaxRetries, &timeout, &backoffInitial, &r.Backoff.Factor, &backoffMax, &c.CreatedAt, &c.UpdatedAt)
	r.CheckpointInterval, r.Timeout = duration(interval), duration(timeout)
	r.Backoff.Initial, r.Backoff.Max = duration(backoffInitial), duration(backoffMax)
	c.CreatedAt, c.UpdatedAt = c.CreatedAt.UTC(), c.UpdatedAt.UTC()
	return c, err
}

func configArgs(c domain.WorkloadConfig) []any {
	r := c.RunConfig
	return []any{
		string(c.ID), string(c.CustomerID), c.Type, c.Description, string(r.Config), r.Resources.CPUCores, r.Resources.MemoryMB, r.Resources.DiskMB,
		r.CheckpointInterval.Microseconds(), r.MaxRetries, r.Timeout.Microseconds(),
		r.Backoff.Initial.Microseconds(), r.Backoff.Factor, r.Backoff.Max.Microseconds(),
	}
}

// Create implements ports.ConfigStore.
func (c configs) Create(ctx context.Context, cfg domain.WorkloadConfig) (domain.WorkloadConfig, error) {
	rows, err := query(ctx, c.s.pool, scanConfig, `INSERT INTO workload_configs AS c (config_id, customer_id, workload_type, description, config, cpu_cores,
  memory_mb, disk_mb, checkpoint_interval_us, max_retries, timeout_us, backoff_initial_us, backoff_factor, backoff_max_us, created_at, updated_at)
 SELECT $1::text, o.customer_id, $3::text, $4::text, $5::text, $6::double precision, $7::integer, $8::integer, $9::bigint, $10::integer, $11::bigint,
  $12::bigint, $13::double precision, $14::bigint, niyanta_now(), niyanta_now() FROM customers o WHERE o.customer_id = $2::text RETURNING `+configColumns, configArgs(cfg)...)
	switch violated(err) {
	case "":
	case "workload_configs_pkey":
		return cfg, domain.NewError(domain.CodeConflict, "config %s exists already", cfg.ID)
	default:
		return cfg, domain.NewError(domain.CodeConflict, "a config for workload type %q exists already", cfg.Type).With("field", "workload_type")
	}
	return only(rows, err, domain.NotFound("customer"))
}

// Get implements ports.ConfigStore.
func (c configs) Get(ctx context.Context, customer domain.CustomerID, id domain.ConfigID) (domain.WorkloadConfig, error) {
	rows, err := query(ctx, c.s.pool, scanConfig, "SELECT "+configColumns+" FROM workload_configs c WHERE c.customer_id = $1::text AND c.config_id = $2::text",
		string(customer), string(id))
	return only(rows, err, domain.NotFound("workload config"))
}

// ForTypes implements ports.ConfigStore.
func (c configs) ForTypes(ctx context.Context, keys []domain.ConfigKey) (map[domain.ConfigKey]domain.WorkloadConfig, error) {
	found, err := query(ctx, c.s.pool, scanConfig, "SELECT "+configColumns+` FROM workload_configs c
 JOIN unnest($1::text[], $2::text[]) AS u(customer_id, workload_type) USING (customer_id, workload_type)`,
		each(keys, func(k domain.ConfigKey) string { return string(k.CustomerID) }), each(keys, func(k domain.ConfigKey) string { return k.Type }))
	out := make(map[domain.ConfigKey]domain.WorkloadConfig, len(found))
	for _, cfg := range found {
		out[domain.ConfigKey{CustomerID: cfg.CustomerID, Type: cfg.Type}] = cfg
	}
	return out, err
}

// List implements ports.ConfigStore.
func (c configs) List(ctx context.Context, customer domain.CustomerID) ([]domain.WorkloadConfig, error) {
	return query(ctx, c.s.pool, scanConfig, "SELECT "+configColumns+" FROM workload_configs c WHERE c.customer_id = $1::text ORDER BY c.workload_type", string(customer))
}

// Update implements ports.ConfigStore.
func (c configs) Update(ctx context.Context, cfg domain.WorkloadConfig) (domain.WorkloadConfig, error) {
	rows, err := query(ctx, c.s.pool, scanConfig, `UPDATE workload_configs c SET description = $4::text, config = $5::text, cpu_cores = $6::double precision,
  memory_mb = $7::integer, disk_mb = $8::integer, checkpoint_interval_us = $9::bigint, max_retries = $10::integer, timeout_us = $11::bigint,
  backoff_initial_us = $12::bigint, backoff_factor = $13::double precision, backoff_max_us = $14::bigint, updated_at = niyanta_now()
 WHERE c.config_id = $1::text AND c.customer_id = $2::text AND c.workload_type = $3::text RETURNING `+configColumns, configArgs(cfg)...)
	if err != nil || len(rows) > 0 {
		return only(rows, err, nil)
	}
	cur, err := c.Get(ctx, cfg.CustomerID, cfg.ID)
	if err != nil {
		return cfg, err
	}
	return cfg, domain.Invalid("workload_type", "cannot be changed from %q", cur.Type)
}

// Delete implements ports.ConfigStore.
func (c configs) Delete(ctx context.Context, customer domain.CustomerID, id domain.ConfigID) error {
	_, err := inTx(ctx, c.s, c.s.pool, func(ctx context.Context, t *tx) (struct{}, error) {
		var deleted, used int64
		t.queue("DELETE FROM workload_configs WHERE config_id = $1 AND customer_id = $2", string(id), string(customer)).Exec(func(tag pgconn.CommandTag) error {
			deleted = tag.RowsAffected()
			return nil
		})
		t.queue(`SELECT count(*) FROM workloads w WHERE w.config_id = $2::text AND w.workload_id IN (
 SELECT workload_id FROM waiting WHERE lane_id IN (SELECT lane_id FROM lanes WHERE customer_id = $1::text)
 UNION ALL SELECT workload_id FROM delayed WHERE lane_id IN (SELECT lane_id FROM lanes WHERE customer_id = $1::text)
 UNION ALL SELECT workload_id FROM held WHERE customer_id = $1::text UNION ALL SELECT workload_id FROM paused WHERE customer_id = $1::text)`,
			string(customer), string(id)).QueryRow(func(row pgx.Row) error { return row.Scan(&used) })
		if err := t.read(ctx); err != nil {
			return struct{}{}, err
		}
		switch {
		case deleted == 0:
			return struct{}{}, domain.NotFound("workload config")
		case used > 0:
			return struct{}{}, domain.NewError(domain.CodeConflict, "%d unfinished workloads use this config", used).With("unfinished", int(used))
		}
		return struct{}{}, t.commit(ctx)
	})
	return err
}

type keys struct{ s *Store }

const keyColumns = "k.key_id, k.customer_id, k.role, k.prefix, k.digest, k.created_at, k.expires_at, k.revoked_at"

func scanKey(row pgx.CollectableRow, more ...any) (domain.APIKey, error) {
	var k domain.APIKey
	var digest []byte
	var expires, revoked *time.Time
	targets := []any{&k.ID, &k.CustomerID, &k.Role, &k.Prefix, &digest, &k.CreatedAt, &expires, &revoked}
	err := row.Scan(append(targets, more...)...)
	copy(k.Digest[:], digest)
	k.CreatedAt, k.ExpiresAt, k.RevokedAt = k.CreatedAt.UTC(), at(expires), at(revoked)
	return k, err
}

func oneKey(row pgx.CollectableRow) (domain.APIKey, error) { return scanKey(row) }

// Create implements ports.KeyStore.
func (k keys) Create(ctx context.Context, key domain.APIKey) (domain.APIKey, error) {
	rows, err := query(ctx, k.s.pool, oneKey, `INSERT INTO api_keys AS k (key_id, customer_id, role, prefix, digest, created_at, expires_at, revoked_at)
 SELECT $1::text, $2::text, $3::text, $4::text, $5::bytea, n.now, $6::timestamptz, $7::timestamptz FROM (SELECT niyanta_now() AS now) n
 WHERE $6::timestamptz IS NULL OR $6::timestamptz > n.now RETURNING `+keyColumns,
		string(key.ID), string(key.CustomerID), string(key.Role), key.Prefix, key.Digest[:], null(key.ExpiresAt), null(key.RevokedAt))
	if violated(err) != "" {
		return key, domain.NewError(domain.CodeConflict, "the key exists already")
	}
	return only(rows, err, domain.Invalid("expires_at", "must be in the future"))
}

// ByPrefix implements ports.KeyStore.
func (k keys) ByPrefix(ctx context.Context, prefix string) (domain.APIKey, time.Duration, error) {
	var now time.Time
	rows, err := query(ctx, k.s.pool, func(row pgx.CollectableRow) (domain.APIKey, error) { return scanKey(row, &now) },
		"SELECT "+keyColumns+", niyanta_now() FROM api_keys k WHERE k.prefix = $1::text", prefix)
	key, err := only(rows, err, domain.NotFound("key"))
	return key, key.UsableFor(now), err
}

// List implements ports.KeyStore.
func (k keys) List(ctx context.Context, customer domain.CustomerID) ([]domain.APIKey, error) {
	return query(ctx, k.s.pool, oneKey, "SELECT "+keyColumns+" FROM api_keys k WHERE k.customer_id = $1::text ORDER BY k.created_at, k.key_id", string(customer))
}

// Revoke implements ports.KeyStore.
func (k keys) Revoke(ctx context.Context, customer domain.CustomerID, id domain.KeyID) error {
	n, err := exec(ctx, k.s.pool, `UPDATE api_keys SET revoked_at = coalesce(revoked_at, niyanta_now()) WHERE key_id = $1::text AND customer_id = $2::text`,
		string(id), string(customer))
	if err == nil && n == 0 {
		return domain.NotFound("key")
	}
	return err
}
