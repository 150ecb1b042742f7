// Package netfault harms the connections between clients and servers on purpose, for tests. It needs nothing but the
// standard library, so that tests of what the SDK imports bring no servers into the modules of its users.
package netfault
