// Package testfiles makes folders, certificates and logs for tests. It imports no client of a server, so
// that the tests of what the SDK imports may use it.
package testfiles
