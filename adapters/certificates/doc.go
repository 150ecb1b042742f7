// Package certificates reads the certificates and keys that connections use, and reads them again
// when their files change, so that no process restarts for a new one. It needs nothing but the
// standard library, because the SDK uses it too.
package certificates
