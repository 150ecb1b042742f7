// Package tenancy holds customers, their API keys and workload configs: who may call, as whom, how
// often, and with which defaults.
package tenancy
