//go:build !unix

package preemption

import "errors"

// onSignal refuses: there are no such signals.
func onSignal(string) (*Notice, error) {
	return nil, errors.New("must be a file or a URL: this system has no such signals")
}
