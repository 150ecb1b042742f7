// Package testfiles makes folders, certificates, logs and stopwatches for tests. It imports no client
// of a server, so that the tests of what the SDK imports may use it.
package testfiles
