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

var (
	customerTable = table[domain.Customer]{"customers", []column[domain.Customer]{
		text("customer_id", func(c *domain.Customer) *domain.CustomerID { return &c.ID }),
		text("name", func(c *domain.Customer) *string { return &c.Name }),
		text("tier", func(c *domain.Customer) *domain.Tier { return &c.Tier }),
		integer("max_concurrent", func(c *domain.Customer) *int { return &c.Overrides.MaxConcurrent }),
		integer("max_queue", func(c *domain.Customer) *int { return &c.Overrides.MaxQueueDepth }),
		float("rate_per_sec", func(c *domain.Customer) *float64 { return &c.Overrides.RatePerSec }),
		integer("burst", func(c *domain.Customer) *int { return &c.Overrides.Burst }),
		integer("keep_workloads_days", func(c *domain.Customer) *int { return &c.Retention.WorkloadDays }),
		integer("keep_logs_days", func(c *domain.Customer) *int { return &c.Retention.LogDays }),
		boolean("no_preemption", func(c *domain.Customer) *bool { return &c.NoPreemption }),
		text("encryption_key_id", func(c *domain.Customer) *domain.EncryptionKeyID { return &c.EncryptionKeyID }),
		optional("suspended_at", func(c *domain.Customer) *time.Time { return &c.SuspendedAt }),
		optional("deleting_at", func(c *domain.Customer) *time.Time { return &c.DeletingAt }),
		instant("created_at", func(c *domain.Customer) *time.Time { return &c.CreatedAt }),
		instant("updated_at", func(c *domain.Customer) *time.Time { return &c.UpdatedAt }),
	}}
	insertCustomers = customerTable.insert()
	updateCustomers = customerTable.update("customer_id")
	selectCustomers = "SELECT " + customerTable.names("c") + " FROM customers c"
)

// updateOne reads the row that the statement lock selects, changes it, and writes it with update,
// with what an administrator did by that. It returns missing if there is no such row.
func updateOne[R any](
	ctx context.Context, s *Store, t *table[R], update string, missing error,
	change func(R, time.Time) (R, domain.AdminEvent, error), lock string, args ...any,
) (R, error) {
	return inTx(ctx, s, s.pool, func(ctx context.Context, tx *tx) (R, error) {
		var none R
		var found []R
		tx.queue(lock, args...).Query(func(rows pgx.Rows) (err error) {
			found, err = pgx.CollectRows(rows, t.scan)
			return err
		})
		if err := tx.read(ctx); err != nil {
			return none, err
		}
		row, err := only(found, nil, missing)
		if err != nil {
			return none, err
		}
		row, act, err := change(row, tx.now)
		if err != nil {
			return none, err
		}
		writeRows(tx, t, update, []*R{&row})
		tx.queueActs(act)
		return row, tx.commit(ctx)
	})
}

// only returns the row of a result that has at most one. It returns missing if there is none.
func only[T any](rows []T, err error, missing error) (T, error) {
	var none T
	switch {
	case err != nil:
		return none, err
	case len(rows) == 0:
		return none, missing
	}
	return rows[0], nil
}

// violated returns the name of the unique constraint that err is about, or "".
func violated(err error) string {
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == uniqueViolation {
		return pg.ConstraintName
	}
	return ""
}

// Create implements ports.CustomerStore.
func (c customers) Create(
	ctx context.Context, cust domain.Customer, by domain.Admin,
) (domain.Customer, error) {
	stored, err := inTx(ctx, c.s, c.s.pool, func(ctx context.Context, t *tx) (domain.Customer, error) {
		if err := t.read(ctx); err != nil {
			return cust, err
		}
		created, act := cust.Onboard(by, t.now)
		writeRows(t, &customerTable, insertCustomers, []*domain.Customer{&created})
		// A deletion that ends meanwhile removes the customer's row. Behind the insert its tombstone
		// is seen.
		var deleted bool
		t.queue("SELECT EXISTS (SELECT FROM deleted_customers WHERE customer_id = $1::text)", string(cust.ID)).
			QueryRow(func(row pgx.Row) error { return row.Scan(&deleted) })
		if err := t.flush(ctx); err != nil {
			return cust, err
		}
		if deleted {
			return cust, domain.ErrCustomerExists(cust.ID)
		}
		t.queue("INSERT INTO queue_bounds (customer_id) VALUES ($1)", string(created.ID))
		t.queueActs(act)
		return created, t.commit(ctx)
	})
	if violated(err) != "" {
		return domain.Customer{}, domain.ErrCustomerExists(cust.ID)
	}
	return stored, err
}

// Get implements ports.CustomerStore.
func (c customers) Get(ctx context.Context, id domain.CustomerID) (domain.Customer, error) {
	rows, err := query(ctx, c.s.pool, customerTable.scan, selectCustomers+" WHERE c.customer_id = $1::text", string(id))
	return only(rows, err, domain.NotFound("customer"))
}

// List implements ports.CustomerStore.
func (c customers) List(ctx context.Context, after domain.CustomerID, limit int) ([]domain.Customer, error) {
	return query(ctx, c.s.pool, customerTable.scan, selectCustomers+` WHERE c.customer_id > $1::text
 ORDER BY c.customer_id LIMIT $2::bigint`, string(after), limit)
}

// Update implements ports.CustomerStore.
func (c customers) Update(
	ctx context.Context, id domain.CustomerID, p domain.CustomerPatch, by domain.Admin,
) (domain.Customer, error) {
	return updateOne(ctx, c.s, &customerTable, updateCustomers, domain.NotFound("customer"),
		func(cust domain.Customer, now time.Time) (domain.Customer, domain.AdminEvent, error) {
			return cust.Change(p, by, now)
		},
		selectCustomers+" WHERE c.customer_id = $1::text FOR NO KEY UPDATE", string(id))
}

// Delete implements ports.CustomerStore. The lock on the customer makes submissions take turns with
// it: what they have stored is counted, and later ones are refused.
func (c customers) Delete(
	ctx context.Context, id domain.CustomerID, force bool, by domain.Admin,
) (domain.Customer, error) {
	return inTx(ctx, c.s, c.s.pool, func(ctx context.Context, t *tx) (domain.Customer, error) {
		found, err := t.lockCustomer(ctx, id, "NO KEY UPDATE")
		if err != nil {
			return domain.Customer{}, err
		}
		u, err := t.usage(ctx, id)
		if err != nil {
			return domain.Customer{}, err
		}
		if err := t.read(ctx); err != nil {
			return domain.Customer{}, err
		}
		next, act, err := found.Delete(u.Queued+u.Running+u.Paused, force, by, t.now)
		if err != nil {
			return domain.Customer{}, err
		}
		writeRows(t, &customerTable, updateCustomers, []*domain.Customer{&next})
		t.queue("UPDATE api_keys SET revoked_at = $2 WHERE customer_id = $1 AND revoked_at IS NULL", string(id), t.now)
		t.queue("INSERT INTO deleted_customers (customer_id, deleted_at) VALUES ($1, $2) ON CONFLICT DO NOTHING",
			string(id), t.now)
		t.queueActs(act)
		return next, t.commit(ctx)
	})
}

// lockCustomer locks and reads a customer. CodeNotFound.
func (t *tx) lockCustomer(ctx context.Context, id domain.CustomerID, lock string) (domain.Customer, error) {
	var found []domain.Customer
	t.queue(selectCustomers+" WHERE c.customer_id = $1::text FOR "+lock, string(id)).
		Query(func(rows pgx.Rows) (err error) {
			found, err = pgx.CollectRows(rows, customerTable.scan)
			return err
		})
	return only(found, t.flush(ctx), domain.NotFound("customer"))
}

// GetMany implements ports.CustomerStore.
func (c customers) GetMany(
	ctx context.Context, ids []domain.CustomerID,
) (map[domain.CustomerID]domain.Customer, error) {
	found, err := query(
		ctx, c.s.pool, customerTable.scan, selectCustomers+" WHERE c.customer_id = ANY($1::text[])", texts(ids),
	)
	out := make(map[domain.CustomerID]domain.Customer, len(found))
	for _, cust := range found {
		out[cust.ID] = cust
	}
	return out, err
}

type configs struct{ s *Store }

var (
	configTable = table[domain.WorkloadConfig]{"workload_configs", join([]column[domain.WorkloadConfig]{
		text("config_id", func(c *domain.WorkloadConfig) *domain.ConfigID { return &c.ID }),
		text("customer_id", func(c *domain.WorkloadConfig) *domain.CustomerID { return &c.CustomerID }),
		text("workload_type", func(c *domain.WorkloadConfig) *string { return &c.Type }),
		text("description", func(c *domain.WorkloadConfig) *string { return &c.Description }),
		text("config", func(c *domain.WorkloadConfig) *domain.JSON { return &c.Config }),
		micros(
			"checkpoint_interval_us", func(c *domain.WorkloadConfig) *time.Duration { return &c.CheckpointInterval },
		),
		integer("max_retries", func(c *domain.WorkloadConfig) *int { return &c.MaxRetries }),
		micros("timeout_us", func(c *domain.WorkloadConfig) *time.Duration { return &c.Timeout }),
		micros("backoff_initial_us", func(c *domain.WorkloadConfig) *time.Duration { return &c.Backoff.Initial }),
		float("backoff_factor", func(c *domain.WorkloadConfig) *float64 { return &c.Backoff.Factor }),
		micros("backoff_max_us", func(c *domain.WorkloadConfig) *time.Duration { return &c.Backoff.Max }),
		instant("created_at", func(c *domain.WorkloadConfig) *time.Time { return &c.CreatedAt }),
		instant("updated_at", func(c *domain.WorkloadConfig) *time.Time { return &c.UpdatedAt }),
		reserved(func(c *domain.WorkloadConfig) *domain.Resources { return &c.Resources }),
	}, part(func(c *domain.WorkloadConfig) *domain.Amounts { return &c.Limits }, amountColumns))}
	insertConfigs = configTable.insert()
	updateConfigs = configTable.update("config_id")
	selectConfigs = "SELECT " + configTable.names("c") + " FROM workload_configs c"
)

// Create implements ports.ConfigStore.
func (c configs) Create(ctx context.Context, cfg domain.WorkloadConfig) (domain.WorkloadConfig, error) {
	stored, err := inTx(ctx, c.s, c.s.pool, func(ctx context.Context, t *tx) (domain.WorkloadConfig, error) {
		// The lock keeps a deletion from beginning before this commits.
		customer, err := t.lockCustomer(ctx, cfg.CustomerID, "SHARE")
		if err == nil {
			err = customer.CheckKept()
		}
		if err == nil {
			err = t.read(ctx)
		}
		if err != nil {
			return cfg, err
		}
		created := cfg
		created.CreatedAt, created.UpdatedAt = t.now, t.now
		writeRows(t, &configTable, insertConfigs, []*domain.WorkloadConfig{&created})
		return created, t.commit(ctx)
	})
	switch violated(err) {
	case "":
		return stored, err
	case "workload_configs_pkey":
		return cfg, domain.ErrConfigExists(cfg.ID)
	}
	return cfg, domain.ErrTypeConfigured(cfg.Type)
}

// Get implements ports.ConfigStore.
func (c configs) Get(
	ctx context.Context, customer domain.CustomerID, id domain.ConfigID,
) (domain.WorkloadConfig, error) {
	rows, err := query(ctx, c.s.pool, configTable.scan,
		selectConfigs+" WHERE c.customer_id = $1::text AND c.config_id = $2::text",
		string(customer), string(id))
	return only(rows, err, domain.NotFound("workload config"))
}

// ForTypes implements ports.ConfigStore.
func (c configs) ForTypes(
	ctx context.Context, keys []domain.ConfigKey,
) (map[domain.ConfigKey]domain.WorkloadConfig, error) {
	found, err := query(ctx, c.s.pool, configTable.scan, selectConfigs+`
 JOIN unnest($1::text[], $2::text[]) AS u(customer_id, workload_type) USING (customer_id, workload_type)`,
		each(keys, func(k domain.ConfigKey) string { return string(k.CustomerID) }),
		each(keys, func(k domain.ConfigKey) string { return k.Type }))
	out := make(map[domain.ConfigKey]domain.WorkloadConfig, len(found))
	for _, cfg := range found {
		out[domain.ConfigKey{CustomerID: cfg.CustomerID, Type: cfg.Type}] = cfg
	}
	return out, err
}

// List implements ports.ConfigStore.
func (c configs) List(
	ctx context.Context, customer domain.CustomerID, after string, limit int,
) ([]domain.WorkloadConfig, error) {
	return longRead(ctx, c.s.reads, customer, configTable.scan, selectConfigs+
		" WHERE c.customer_id = $1::text AND c.workload_type > $2::text ORDER BY c.workload_type LIMIT $3::bigint",
		string(customer), after, limit)
}

// Types implements ports.ConfigStore.
func (c configs) Types(ctx context.Context, customer domain.CustomerID, limit int) ([]string, error) {
	return longRead(ctx, c.s.reads, customer, pgx.RowTo[string],
		"SELECT workload_type FROM workload_configs WHERE customer_id = $1::text ORDER BY workload_type LIMIT $2::bigint",
		string(customer), limit)
}

// Update implements ports.ConfigStore.
func (c configs) Update(
	ctx context.Context, customer domain.CustomerID, id domain.ConfigID, p domain.ConfigPatch,
) (domain.WorkloadConfig, error) {
	return updateOne(ctx, c.s, &configTable, updateConfigs, domain.NotFound("workload config"),
		func(cur domain.WorkloadConfig, now time.Time) (domain.WorkloadConfig, domain.AdminEvent, error) {
			next, err := p.Apply(cur, now)
			return next, domain.AdminEvent{}, err
		},
		selectConfigs+" WHERE c.config_id = $1::text AND c.customer_id = $2::text FOR NO KEY UPDATE",
		string(id), string(customer))
}

// Delete implements ports.ConfigStore.
func (c configs) Delete(ctx context.Context, customer domain.CustomerID, id domain.ConfigID) error {
	_, err := inTx(ctx, c.s, c.s.pool, func(ctx context.Context, t *tx) (struct{}, error) {
		var deleted int64
		var used int
		t.queue("DELETE FROM workload_configs WHERE config_id = $1 AND customer_id = $2", string(id),
			string(customer)).Exec(func(tag pgconn.CommandTag) error {
			deleted = tag.RowsAffected()
			return nil
		})
		t.queue(`SELECT count(*) FROM workloads w WHERE w.config_id = $2::text AND w.workload_id IN (
 SELECT workload_id FROM waiting WHERE lane_id IN (SELECT lane_id FROM lanes WHERE customer_id = $1::text)
 UNION ALL SELECT workload_id FROM delayed WHERE lane_id IN (SELECT lane_id FROM lanes WHERE customer_id = $1::text)
 UNION ALL SELECT workload_id FROM held WHERE customer_id = $1::text UNION ALL SELECT workload_id FROM paused
    WHERE customer_id = $1::text)`,
			string(customer), string(id)).QueryRow(func(row pgx.Row) error { return row.Scan(&used) })
		if err := t.read(ctx); err != nil {
			return struct{}{}, err
		}
		if deleted == 0 {
			return struct{}{}, domain.NotFound("workload config")
		}
		if err := domain.CheckUnused(used); err != nil {
			return struct{}{}, err
		}
		return struct{}{}, t.commit(ctx)
	})
	return err
}
