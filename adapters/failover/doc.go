// Package failover implements ports.ControlPlane over several routes to the coordinators: a bus,
// and HTTP to each coordinator. A request that gets no answer over one route is tried over the
// next. The transports live in other packages.
package failover
