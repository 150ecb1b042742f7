//go:build !linux && !darwin

package workloads

import (
	"log/slog"
	"runtime"
)

// addPrograms adds none, because the worker could not end what they start.
func (o *Offer) addPrograms(_ Options, log *slog.Logger) error {
	log.Warn("programs are not offered: a worker on this system cannot end what they start", "system", runtime.GOOS)
	return nil
}

// SweepScratch returns 0: there are no programs that could leave anything.
func SweepScratch() (int, error) { return 0, nil }
