//go:build !race

package crashpoints_test

const sampled = 1
