package workloads

import (
	"fmt"
	"slices"
	"strings"
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
