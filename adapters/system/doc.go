// Package system implements the ports that the machine provides: clock, ids and randomness.
package system
