// Package summed reads a value once, and says how large it is and what its checksum is.
package summed
