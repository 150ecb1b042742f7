// Package count has workers of the workload type "count" in several languages. They do what the
// conformance kit wants of a worker, see docs/protocol/conformance.md, and serve as first examples.
package count
