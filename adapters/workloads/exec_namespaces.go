package workloads

import (
	"fmt"
	"slices"
	"strings"
)

// Namespaces says whether every run has a PID, a mount and an IPC namespace of its own. It sees no
// other processes and no other run's scratch directory. Workers show it in their tag
// exec.namespaces.
type Namespaces string

// The namespaces.
const (
	// NamespacesYes: the worker has the right to make them.
	NamespacesYes Namespaces = "yes"
	// NamespacesUser: they are in a user namespace, which has only the worker's user.
	NamespacesUser Namespaces = "user"
	// NamespacesNone: there are none, or programs can leave them.
	NamespacesNone Namespaces = "none"
)

// namespaceSettings are the values of NIYANTA_EXEC_NAMESPACES.
var namespaceSettings = []string{"auto", "required", "none"}

// ValidateNamespaces checks the setting of whether programs run in namespaces of their own.
func ValidateNamespaces(s string) error {
	if s != "" && !slices.Contains(namespaceSettings, s) {
		return fmt.Errorf("must be one of %s", strings.Join(namespaceSettings, ", "))
	}
	return nil
}
