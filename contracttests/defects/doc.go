// Package defects tests the tests. It holds defects that somebody could make, each as the
// replacement of a few lines, and which layer of tests must notice it. `make defects` builds the
// tests with one defect at a time (go test -overlay, so that no source changes), and prints
// docs/defects.md. Every test run checks that each defect still fits the source.
package defects
