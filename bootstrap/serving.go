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

// endpoint is an address on which a part of the API is served.
type endpoint struct {
	variable string // the setting of the address
	part     httpapi.Part
	listener net.Listener
	server   *http.Server
	handler  *httpapi.Handler
}

// open listens on the configured addresses: one for the whole API, or one for the public part and
// one for the admin part.
func (a *App) open(ctx context.Context) error {
	public := &endpoint{variable: "HTTP_ADDR", part: httpapi.PartAll}
	a.endpoints = []*endpoint{public}
	addrs := []string{a.cfg.HTTPAddr}
	if a.cfg.AdminAddr != "" {
		public.part = httpapi.PartPublic
		a.endpoints = append(a.endpoints, &endpoint{variable: "ADMIN_ADDR", part: httpapi.PartAdmin})
		addrs = append(addrs, a.cfg.AdminAddr)
	}
	var err error
	if a.certificates, err = a.cfg.openAPICertificates(a.log); err != nil {
		return err
	}
	measureCertificate(a.metrics, "api", a.certificates.Expires)
	for i, d := range a.endpoints {
		if d.listener, err = (&net.ListenConfig{}).Listen(ctx, "tcp", addrs[i]); err != nil {
			return d.refused(addrs[i], err)
		}
	}
	return nil
}

// ErrAddressTaken means that another process listens on a configured address.
var ErrAddressTaken = errors.New("another process listens")

// refused returns the error of an endpoint that cannot listen. It says what to change.
func (d *endpoint) refused(addr string, err error) error {
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("%s%s: %w on %s; stop it, or choose another address", Prefix, d.variable,
			ErrAddressTaken, addr)
	}
	return fmt.Errorf("%s%s: %w", Prefix, d.variable, err)
}

// serve serves every endpoint, with the same deps.
func (a *App) serve(deps httpapi.Deps) error {
	for _, d := range a.endpoints {
		deps.Part = d.part
		var err error
		if d.handler, err = httpapi.New(deps); err != nil {
			return err
		}
		var handler http.Handler = d.handler
		if d.part == httpapi.PartAdmin && a.cfg.Pprof {
			handler = profiled(handler, a.coordinator.Tenancy.Authenticate)
		}
		d.server = httpapi.NewServer(handler, a.cfg.HTTPIdleTimeout, a.log)
		d.server.TLSConfig = a.certificates.Server()
	}
	for _, d := range a.endpoints {
		a.loops.Go(func() {
			if err := d.run(); !errors.Is(err, http.ErrServerClosed) {
				a.failed <- err
			}
		})
		a.log.Info("serving", "url", a.urlOf(d), "address", d.listener.Addr().String(), "part", d.part.String())
	}
	return nil
}

// run serves until the endpoint is shut.
func (d *endpoint) run() error {
	if d.server.TLSConfig != nil {
		return d.server.ServeTLS(d.listener, "", "")
	}
	return d.server.Serve(d.listener)
}

// shut accepts no more requests, and waits for those in flight until ctx ends.
func (a *App) shut(ctx context.Context) error {
	var errs []error
	for _, d := range a.endpoints {
		switch {
		case d.server != nil:
			if err := d.server.Shutdown(ctx); err != nil {
				errs = append(errs, fmt.Errorf("requests in flight: %w", err), d.server.Close())
			}
			errs = append(errs, d.handler.Drain(ctx))
		case d.listener != nil:
			_ = d.listener.Close() // serve was not called
		}
	}
	return errors.Join(errs...)
}

// urlOf returns the URL of an endpoint on this machine.
func (a *App) urlOf(d *endpoint) string {
	addr := d.listener.Addr().String()
	host, port, err := net.SplitHostPort(addr)
	if ip := net.ParseIP(host); err == nil && ip != nil && ip.IsUnspecified() {
		addr = net.JoinHostPort("127.0.0.1", port)
	}
	if a.certificates != nil {
		return "https://" + addr
	}
	return "http://" + addr
}

// URL returns the URL of the API.
func (a *App) URL() string { return a.urlOf(a.endpoints[0]) }

// AdminURL returns the URL of the admin routes. It is that of the API unless they have an address
// of their own.
func (a *App) AdminURL() string { return a.urlOf(a.endpoints[len(a.endpoints)-1]) }

// Addrs returns the addresses that the App listens on.
func (a *App) Addrs() []string {
	var out []string
	for _, d := range a.endpoints {
		out = append(out, d.listener.Addr().String())
	}
	return out
}
