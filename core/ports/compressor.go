package ports

import "io"

// Compressor compresses checkpoints, and what is archived. Safe for concurrent use.
type Compressor interface {
	// Encode returns data in a form to store and the name of its encoding; data itself and "" when
	// compressing is not worth it.
	Encode(data []byte) (stored []byte, encoding string)
	// Decode is the inverse. CodeInternal for an unknown encoding or broken data; the result never
	// exceeds size.
	Decode(stored []byte, encoding string, size int) ([]byte, error)
	// Stream returns a writer that writes what it is given to w, as one zstd frame. Close ends the
	// frame, and does not close w. Equal data gives equal frames. The writer is used by one goroutine.
	Stream(w io.Writer) io.WriteCloser
}
