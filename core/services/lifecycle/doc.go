// Package lifecycle holds what clients do with workloads: submit, read, wait, cancel, pause,
// resume. domain.Decide says what is legal; adapters/http is the transport.
package lifecycle
