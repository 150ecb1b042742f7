// Package folder locks folders, so that other processes see whether the owner of one is alive.
package folder
