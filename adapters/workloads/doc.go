// Package workloads holds the built-in workload types: sleep (demos and tests), exec (any program
// of an allow-list) and http (an endpoint). Each is a ports.Workload; types of one's own are
// written with the SDK instead.
package workloads
