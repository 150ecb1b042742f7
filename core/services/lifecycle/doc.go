// Package lifecycle holds what clients do with workloads: submit, read, wait for, cancel, pause,
// resume. It decides nothing about legality (domain.Decide) and nothing about transport
// (adapters/http).
package lifecycle
