// Package zstd implements ports.Compressor with zstd. It compresses data above 1 KiB, if that makes
// it smaller.
package zstd

import (
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"

	"github.com/niyanta/niyanta/core/domain"
)

const (
	threshold = 1 << 10
	name      = "zstd"
)

// Compressor compresses with zstd's default level.
type Compressor struct {
	enc *zstd.Encoder
	dec *zstd.Decoder
}

// New returns a Compressor.
func New() (*Compressor, error) {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	if err != nil {
		return nil, fmt.Errorf("zstd encoder: %w", err)
	}
	// A checkpoint's size is bounded before compression. Nothing stored may grow beyond it.
	const memory = 2 * domain.MaxInlineCheckpoint
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(memory))
	if err != nil {
		return nil, fmt.Errorf("zstd decoder: %w", err)
	}
	return &Compressor{enc, dec}, nil
}

// Encode implements ports.Compressor.
func (c *Compressor) Encode(data []byte) ([]byte, string) {
	if len(data) <= threshold {
		return data, ""
	}
	if small := c.enc.EncodeAll(data, make([]byte, 0, len(data)/2)); len(small) < len(data) {
		return small, name
	}
	return data, ""
}

// Decode implements ports.Compressor.
func (c *Compressor) Decode(stored []byte, encoding string, size int) ([]byte, error) {
	out := stored
	switch encoding {
	case "":
	case name:
		var err error
		if out, err = c.dec.DecodeAll(stored, make([]byte, 0, min(max(size, 0), domain.MaxInlineCheckpoint))); err != nil {
			return nil, &domain.Error{Code: domain.CodeInternal, Message: "checkpoint data is broken", Cause: err}
		}
	default:
		return nil, domain.NewError(domain.CodeInternal, "unknown checkpoint encoding %q", encoding)
	}
	if len(out) != size {
		return nil, domain.NewError(domain.CodeInternal, "checkpoint has %d bytes instead of %d", len(out), size)
	}
	return out, nil
}

// Stream implements ports.Compressor.
func (c *Compressor) Stream(w io.Writer) io.WriteCloser {
	enc, err := zstd.NewWriter(w, zstd.WithEncoderConcurrency(1))
	if err != nil {
		return broken{err} // only options could be wrong
	}
	return enc
}

// broken is a writer that cannot write.
type broken struct{ err error }

// Write implements io.Writer.
func (b broken) Write([]byte) (int, error) { return 0, b.err }

// Close implements io.Closer.
func (b broken) Close() error { return b.err }
