package bootstrap

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/niyanta/niyanta/adapters/system"
	"github.com/niyanta/niyanta/core/domain"
)

// DevCustomer is the one customer of the development server.
const DevCustomer = domain.CustomerID("cust_dev")

// Dev is a server in memory with one premium customer, whose keys it tells.
type Dev struct {
	*Server
	CustomerKey string
	AdminKey    string
	WorkerKey   string
}

// NewDev starts a development server. cfg's keys are generated where they are empty. workers is how
// many run in this process; with 0, workers join over HTTP.
func NewDev(ctx context.Context, cfg Config, workers int, version string, log *slog.Logger) (*Dev, error) {
	cfg.Store, cfg.Bus, cfg.RateLimiter = StoreMemory, BusMemory, LimiterMemory
	return newDevOn(ctx, cfg, workers, version, log, newMemoryApp)
}

// newDevOn starts a development server on an App that makeApp puts together.
func newDevOn(
	ctx context.Context, cfg Config, workers int, version string, log *slog.Logger,
	makeApp func(Config, *slog.Logger) (*App, error),
) (*Dev, error) {
	d := &Dev{}
	ids := system.IDs{}
	if cfg.AdminKey == "" {
		cfg.AdminKey = ids.New("adm_") + ids.New("")
	}
	if len(cfg.WorkerKeys) == 0 {
		cfg.WorkerKeys = []string{ids.New("wkr_") + ids.New("")}
	}
	d.AdminKey, d.WorkerKey = cfg.AdminKey, cfg.WorkerKeys[0]
	app, err := makeApp(cfg, log)
	if err != nil {
		return nil, err
	}
	app.Version = version
	if d.CustomerKey, err = app.onboardDev(ctx, cfg.DevCustomerKey); err != nil {
		return nil, err
	}
	cfg.Workers, cfg.WorkerID = workers, "dev-worker"
	d.Server = newServer(app, cfg, log)
	if err := d.Start(context.WithoutCancel(ctx)); err != nil {
		return nil, err
	}
	return d, d.awaitReady(ctx, workers)
}

// awaitReady returns when the coordinator leads and its workers are registered.
func (d *Dev) awaitReady(ctx context.Context, workers int) error {
	bounded, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for {
		state := d.App.ready(bounded)
		registered, err := d.App.coordinator.Plane.ListWorkers(bounded)
		if err == nil && state.Leader && len(registered) >= workers {
			return nil
		}
		select {
		case err := <-d.ended:
			return errors.Join(err, d.Close(ctx))
		case <-bounded.Done():
			return errors.Join(errors.New("the workers did not register"), d.Close(ctx))
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// onboardDev creates the development customer and its key.
func (a *App) onboardDev(ctx context.Context, key string) (string, error) {
	self := domain.Admin{KeyID: domain.KeySystem, KeyName: "development server"}
	_, err := a.coordinator.Tenancy.CreateCustomer(ctx, domain.Customer{
		ID: DevCustomer, Name: "Development", Tier: domain.TierPremium,
	}, self)
	if err != nil {
		return "", err
	}
	if key == "" {
		_, key, err = a.coordinator.Tenancy.CreateKey(ctx, domain.APIKey{CustomerID: DevCustomer,
			Role: domain.RoleCustomer}, self)
		return key, err
	}
	_, err = a.coordinator.Tenancy.ImportKey(ctx, domain.APIKey{CustomerID: DevCustomer, Role: domain.RoleCustomer},
		key, self)
	return key, err
}
