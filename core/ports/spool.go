package ports

import "io"

// Spool keeps values that may not fit in memory in files, for as long as this process needs them.
type Spool interface {
	// Create returns an empty file. What the process leaves behind when it dies is removed.
	Create() (SpoolFile, error)
}

// SpoolFile is a file of a Spool. It is written by one goroutine, then read.
type SpoolFile interface {
	io.Writer
	// Body returns what was written. It may be opened any number of times, until Close.
	Body() *Body
	// Close removes the file.
	Close() error
}
