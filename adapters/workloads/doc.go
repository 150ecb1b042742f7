// Package workloads holds the built-in workload types: sleep (for demos and tests), exec (a program
// of an allow-list) and http (a call of an endpoint). Each is a ports.Workload. Users write their
// own types with the SDK.
package workloads
