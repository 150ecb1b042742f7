package workloads

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/niyanta/niyanta/core/domain"
)

// Enforcement says how programs are held to their resource_limits. Workers show it in their tag
// exec.limits.
type Enforcement string

// The enforcements.
const (
	// LimitsCgroup2 and LimitsCgroup1: the kernel holds all processes of a run together to their CPU
	// time, memory and number.
	LimitsCgroup2 Enforcement = "cgroup2"
	LimitsCgroup1 Enforcement = "cgroup1"
	// LimitsRlimit: the worker looks at the memory of the processes again and again. The kernel
	// bounds the memory of each process roughly, and the number of processes if the run has a user
	// of its own. CPU time is not limited.
	LimitsRlimit Enforcement = "rlimit"
	// LimitsNone: nothing is limited.
	LimitsNone Enforcement = "none"
)

// limitSettings are the values of NIYANTA_EXEC_LIMITS.
var limitSettings = []string{"auto", "cgroup", "rlimit", "none"}

// ValidateLimits checks the setting of how programs are held to their limits.
func ValidateLimits(s string) error {
	if s != "" && !slices.Contains(limitSettings, s) {
		return fmt.Errorf("must be one of %s", strings.Join(limitSettings, ", "))
	}
	return nil
}

// processLimit bounds the processes and threads of a run.
const processLimit = 1024

// consumption returns what a run has used: CPU time, and memory at its peak in bytes. Parts of a unit
// count as a whole one.
func consumption(cpu time.Duration, memory int64) domain.Consumption {
	return domain.Consumption{CPUMS: (cpu + time.Millisecond - 1).Milliseconds(), PeakMemoryMB: (memory + 1<<20 - 1) >> 20}
}
