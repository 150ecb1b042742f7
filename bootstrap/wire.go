//go:build wireinject

package bootstrap

import (
	"log/slog"

	"github.com/google/wire"
)

//go:generate wire

// newMemoryApp puts a coordinator together on the in-memory backends.
func newMemoryApp(cfg Config, log *slog.Logger) (*App, error) {
	wire.Build(hostSet, memorySet, appSet)
	return nil, nil
}
