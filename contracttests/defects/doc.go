// Package defects tests the tests: it holds mistakes that somebody could make, each as the replacement of a few lines, and
// which layer must notice. `make defects` builds the tests with one mistake at a time (go test -overlay, so that no product source knows of
// it), and prints the table of docs/RELIABILITY.md. Part of every test run is that each mistake still fits the source.
package defects
