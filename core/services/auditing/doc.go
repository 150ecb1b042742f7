// Package auditing reads what administrators did, and records what they read of customers. What they
// change is recorded by the stores, in the transactions of the changes.
package auditing
