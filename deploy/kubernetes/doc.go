// Package kubernetes holds the manifests of Niyanta, and the tests that render and check them. See
// docs/operations/kubernetes.md.
package kubernetes
