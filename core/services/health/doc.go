// Package health takes work away from workers that cannot do it: sessions whose lease ended, work
// whose session is gone, assignments nobody takes, runs past their deadline. It runs on the leader
// only. Sweeps are paged by id, so that one workload that cannot be handled never blocks the
// others.
package health
