// Package system implements the ports that the machine itself provides: clock, ids and randomness.
package system
