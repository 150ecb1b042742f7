// Package auditing reads what administrators did. Their actions are recorded by the stores, in the
// transactions of what they change.
package auditing
