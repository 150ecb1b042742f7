//go:build !linux

package process

import "context"

func (*Supervisor) run(context.Context) (int, error) { return 0, ErrUnsupported }
