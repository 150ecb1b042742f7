package bootstrap

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"syscall"

	httpapi "github.com/niyanta/niyanta/adapters/http"
)

// door is an address at which a part of the API is served.
type door struct {
	variable string // the setting that says where
	part     httpapi.Part
	listener net.Listener
	server   *http.Server
}

// open listens at the configured addresses: one for everything, or one for the public part and one
// for the admin's.
func (a *App) open(ctx context.Context) error {
	public := &door{variable: "HTTP_ADDR", part: httpapi.PartAll}
	a.doors = []*door{public}
	addrs := []string{a.cfg.HTTPAddr}
	if a.cfg.AdminAddr != "" {
		public.part = httpapi.PartPublic
		a.doors = append(a.doors, &door{variable: "ADMIN_ADDR", part: httpapi.PartAdmin})
		addrs = append(addrs, a.cfg.AdminAddr)
	}
	for i, d := range a.doors {
		var err error
		if d.listener, err = (&net.ListenConfig{}).Listen(ctx, "tcp", addrs[i]); err != nil {
			return d.refused(addrs[i], err)
		}
	}
	return nil
}

// ErrAddressTaken tells that another process listens on a configured address.
var ErrAddressTaken = errors.New("another process listens")

// refused says why a door does not open, and what to change.
func (d *door) refused(addr string, err error) error {
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("%s%s: %w on %s; stop it, or choose another address", Prefix, d.variable,
			ErrAddressTaken, addr)
	}
	return fmt.Errorf("%s%s: %w", Prefix, d.variable, err)
}

// serve answers at every door. deps are the same for all.
func (a *App) serve(deps httpapi.Deps) error {
	for _, d := range a.doors {
		deps.Part = d.part
		handler, err := httpapi.New(deps)
		if err != nil {
			return err
		}
		d.server = httpapi.NewServer(handler, a.cfg.HTTPIdleTimeout, a.log)
	}
	for _, d := range a.doors {
		a.loops.Go(func() {
			if err := d.server.Serve(d.listener); !errors.Is(err, http.ErrServerClosed) {
				a.failed <- err
			}
		})
		a.log.Info("serving", "url", d.url(), "address", d.listener.Addr().String(), "part", d.part.String())
	}
	return nil
}

// shut takes no more requests and waits for those in flight as long as ctx lasts.
func (a *App) shut(ctx context.Context) error {
	var errs []error
	for _, d := range a.doors {
		switch {
		case d.server != nil:
			if err := d.server.Shutdown(ctx); err != nil {
				errs = append(errs, fmt.Errorf("requests in flight: %w", err), d.server.Close())
			}
		case d.listener != nil:
			_ = d.listener.Close() // nobody was served
		}
	}
	return errors.Join(errs...)
}

// url is where the door can be reached from this machine.
func (d *door) url() string {
	addr := d.listener.Addr().String()
	host, port, err := net.SplitHostPort(addr)
	if ip := net.ParseIP(host); err == nil && ip != nil && ip.IsUnspecified() {
		addr = net.JoinHostPort("127.0.0.1", port)
	}
	return "http://" + addr
}

// URL is where the API answers.
func (a *App) URL() string { return a.doors[0].url() }

// AdminURL is where the admin routes answer: the same, unless they have an address of their own.
func (a *App) AdminURL() string { return a.doors[len(a.doors)-1].url() }

// Addrs are the addresses that it listens on.
func (a *App) Addrs() []string {
	var out []string
	for _, d := range a.doors {
		out = append(out, d.listener.Addr().String())
	}
	return out
}
