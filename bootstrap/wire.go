//go:build wireinject

package bootstrap

import (
	"context"
	"log/slog"

	"github.com/google/wire"
)

// newMemoryApp puts a coordinator together on the in-memory backends.
func newMemoryApp(cfg Config, log *slog.Logger) (*App, error) {
	wire.Build(hostSet, memorySet, NewApp)
	return nil, nil
}

// newConfiguredApp puts a coordinator together on the backends that the configuration names. The
// function it returns closes them.
func newConfiguredApp(ctx context.Context, cfg Config, log *slog.Logger) (*App, func(), error) {
	wire.Build(hostSet, configuredSet, NewApp)
	return nil, nil, nil
}
