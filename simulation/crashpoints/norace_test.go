//go:build !race

package crashpoints_test

const sampleEvery = 1
