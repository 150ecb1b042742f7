// Package statistics is the use case of whoever asks what is unfinished and what has finished. On
// the leader it also folds what transactions left for the totals.
package statistics
