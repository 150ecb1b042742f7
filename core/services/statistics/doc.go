// Package statistics answers what is unfinished and what has finished. On the leader it also folds
// the changes that transactions have recorded into the totals.
package statistics
