package summed

import (
	"context"
	"crypto/sha256"
	"errors"
	"hash"
	"io"

	"github.com/niyanta/niyanta/core/ports"
)

// Reader reads what another reader delivers, until its context is over. One goroutine uses it.
type Reader struct {
	ctx  context.Context //nolint:containedctx // a reader belongs to one call
	r    io.Reader
	hash hash.Hash
	n    int64
	err  error
}

// New returns a Reader of r.
func New(ctx context.Context, r io.Reader) *Reader {
	return &Reader{ctx: ctx, r: r, hash: sha256.New()}
}

// errBroken hides which error a reader had. Code that reads may take some errors, such as
// io.ErrUnexpectedEOF, for the end of the value.
var errBroken = errors.New("the value cannot be read")

// Read implements io.Reader. Its error is nil, io.EOF at the end, or says only that there was
// another one, which Err returns.
func (r *Reader) Read(p []byte) (int, error) {
	if r.err != nil {
		return 0, r.report()
	}
	if r.err = r.ctx.Err(); r.err != nil {
		return 0, r.report()
	}
	n, err := r.r.Read(p)
	_, _ = r.hash.Write(p[:n]) // a hash never fails to write
	r.n += int64(n)
	if r.err = r.ctx.Err(); r.err == nil {
		r.err = err
	}
	return n, r.report()
}

func (r *Reader) report() error {
	if r.err == nil || r.err == io.EOF { //nolint:errorlint // a wrapped io.EOF is not the end
		return r.err
	}
	return errBroken
}

// Err returns the error that reading ended with, or nil if it was the end of the value or nothing.
func (r *Reader) Err() error {
	if r.report() == errBroken { //nolint:errorlint // it is never wrapped
		return r.err
	}
	return r.ctx.Err()
}

// Sum describes what was read so far.
func (r *Reader) Sum() ports.BlobSum {
	return ports.BlobSum{Size: r.n, Checksum: [sha256.Size]byte(r.hash.Sum(nil))}
}
