// Package erasure removes customers that are being deleted. On the leader, it cancels what is
// unfinished and then removes what the customers have, in small batches. The tenancy service begins
// a deletion.
package erasure
