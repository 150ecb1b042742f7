//go:build unix

package preemption

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// onSignal returns a notice that a signal gives. It is heard while somebody waits for it.
func onSignal(name string) (*Notice, error) {
	s, ok := map[string]os.Signal{"USR1": syscall.SIGUSR1, "USR2": syscall.SIGUSR2}[name]
	if !ok {
		return nil, fmt.Errorf("must be signal:USR1 or signal:USR2, not signal:%s", name)
	}
	return &Notice{
		present: func(context.Context) (bool, error) { return false, nil },
		wait: func(ctx context.Context) error {
			c := make(chan os.Signal, 1)
			signal.Notify(c, s)
			defer signal.Stop(c)
			select {
			case <-c:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		},
	}, nil
}
