// Package days lets whole days go by on the scheduler, in virtual time and one thread, to see how the policies of the queue treat the
// tiers: who waits how long, and who gets which share of the slots. Scheduling, leadership and transitions are the real services, on the
// memory adapter; the workers are no more than timers, and nothing goes wrong (that is package simulation's matter). One seed decides all of
// it, and customers that arrive at a rate bring the same work under every policy.
//
// Its tests hold what the domain promises over a long run: shares by weight, and that nobody starves. Its figures and series are what the
// plots in docs/plots are drawn from (make plots).
package days
