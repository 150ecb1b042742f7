// Package failover is a worker's view of its coordinators over several routes: a bus, and HTTP to
// each coordinator. A request that one route does not answer is tried over the next. Transports,
// and what travels over them, live in other packages.
package failover
