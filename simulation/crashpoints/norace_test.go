//go:build !race

package crashpoints_test

const defaultSample = 1
