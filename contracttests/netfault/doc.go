// Package netfault harms connections between clients and servers, for tests. It imports only the
// standard library. So tests of packages that the SDK imports can use it without bringing servers
// into the modules of the SDK's users.
package netfault
