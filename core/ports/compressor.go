package ports

// Compressor compresses checkpoints. Safe for concurrent use.
type Compressor interface {
	// Encode returns data in a form to store and the name of its encoding; data itself and "" when
	// compressing is not worth it.
	Encode(data []byte) (stored []byte, encoding string)
	// Decode is the inverse. CodeInternal for an unknown encoding or broken data; the result never
	// exceeds size.
	Decode(stored []byte, encoding string, size int) ([]byte, error)
}
