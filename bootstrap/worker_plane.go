package bootstrap

import (
	"log/slog"

	"github.com/niyanta/niyanta/adapters/certificates"
	"github.com/niyanta/niyanta/adapters/failover"
	"github.com/niyanta/niyanta/adapters/http/workerclient"
	"github.com/niyanta/niyanta/adapters/messaging"
	"github.com/niyanta/niyanta/adapters/system"
	"github.com/niyanta/niyanta/core/ports"
)

// newWorkerClients returns a client for each coordinator's address, and the certificates that they
// use.
func newWorkerClients(cfg Config, log *slog.Logger) ([]*workerclient.Client, *certificates.Source, error) {
	shown, err := cfg.openCertificates(tlsCoordinator, log)
	if err != nil {
		return nil, nil, err
	}
	clients, err := workerclient.NewAll(cfg.CoordinatorURL, cfg.WorkerKeys[0], shown.Equip)
	return clients, shown, err
}

// workerPlane is a worker's view of its coordinators. shown are the certificates by connection.
type workerPlane struct {
	ports.ControlPlane
	shown map[string]*certificates.Source
	close func()
}

// newWorkerPlane opens a worker's view of its coordinators: over the bus if there is one, and over
// HTTP to each coordinator whose URL is known. HTTP also carries what is too large for the bus, and
// all else while the bus does not.
func newWorkerPlane(cfg Config, id string, log *slog.Logger) (*workerPlane, error) {
	shown := map[string]*certificates.Source{}
	var clients []*workerclient.Client
	var routes []failover.Route
	if cfg.CoordinatorURL != "" {
		var err error
		if clients, shown["coordinator"], err = newWorkerClients(cfg, log); err != nil {
			return nil, err
		}
		for _, c := range clients {
			routes = append(routes, c)
		}
	}
	bus, err := openBus(cfg, id, system.IDs{}, log)
	if err != nil {
		return nil, err
	}
	shown["bus"] = bus.shown
	var push failover.Push
	closePush := func() {}
	if bus.Bus != nil {
		c := messaging.NewClient(bus.Bus, messaging.Party{
			ID: id, Kind: "worker", Prefix: cfg.BusPrefix, Clock: system.Clock{}, IDs: system.IDs{},
		})
		push, closePush = c, func() { _ = c.Close() }
	}
	plane := failover.New(push, routes, log)
	return &workerPlane{plane, shown, func() {
		plane.Close()
		closePush()
		bus.close()
		for _, c := range clients {
			c.Close()
		}
	}}, nil
}
