package main

import (
	"context"
	"io"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// interruptible is a reader whose Read fails once ctx ends, even while the other one's blocks, as
// that of a terminal or a pipe does. That one's Read goes on then, and what it reads is lost.
type interruptible struct {
	ctx context.Context //nolint:containedctx // io.Reader has none
	r   io.Reader
}

// stdin returns the standard input of a command, until the command is interrupted.
func stdin(cmd *cobra.Command) io.Reader { return interruptible{cmd.Context(), cmd.InOrStdin()} }

// Read implements io.Reader.
func (i interruptible) Read(p []byte) (int, error) {
	return unlessInterrupted(i.ctx, func() ([]byte, error) {
		b := make([]byte, len(p)) // p is the caller's again when ctx ends
		n, err := i.r.Read(b)
		return b[:n], err
	}, p)
}

// unlessInterrupted has read read into p. It returns early if ctx ends.
func unlessInterrupted(ctx context.Context, read func() ([]byte, error), p []byte) (int, error) {
	type result struct {
		b   []byte
		err error
	}
	if ctx.Err() != nil {
		return 0, ctx.Err()
	}
	done := make(chan result, 1)
	go func() {
		b, err := read()
		done <- result{b, err}
	}()
	select {
	case r := <-done:
		return copy(p, r.b), r.err
	case <-ctx.Done():
	}
	select {
	case r := <-done: // both at once
		return copy(p, r.b), r.err
	default:
		return 0, ctx.Err()
	}
}

// readPassword reads a line from a terminal that does not show it. If ctx ends, the terminal is as
// before.
func readPassword(ctx context.Context, fd int) ([]byte, error) {
	before, err := term.GetState(fd)
	if err != nil {
		return nil, err
	}
	p := make([]byte, 64<<10)
	n, err := unlessInterrupted(ctx, func() ([]byte, error) { return term.ReadPassword(fd) }, p)
	if ctx.Err() != nil {
		_ = term.Restore(fd, before) // it has worked a moment ago
	}
	return p[:n], err
}

// outlive returns a context that ends that long after ctx.
func outlive(ctx context.Context, by time.Duration) (context.Context, context.CancelFunc) {
	longer, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		select {
		case <-time.After(by):
			cancel()
		case <-longer.Done():
		}
	})
	return longer, func() { stop(); cancel() }
}

// interrupted is the error of what a signal ended.
type interrupted struct{}

func (interrupted) Error() string { return "interrupted" }
func (interrupted) Unwrap() error { return context.Canceled }

// interruption returns the error of what ctx ended, or nil.
func interruption(ctx context.Context) error {
	if ctx.Err() != nil {
		return interrupted{}
	}
	return nil
}
