// Package console holds the built web console. The build tag noconsole leaves it out.
package console
