package domain

import (
	"encoding/json"
	"slices"
	"strings"
)

// A worker offers capabilities. A capability is either a workload type or, for the type that runs
// programs, a program that the worker may start. Only the latter contains a colon.

// TypeExec is the workload type that runs programs.
const TypeExec = "exec"

// MaxProgram is the longest name or path of a program, in bytes.
const MaxProgram = 255

const programPrefix = TypeExec + ":"

// ProgramCapability returns the capability of a program: exec:<program>. The program is spelled as
// in the input.
func ProgramCapability(program string) string { return programPrefix + program }

// ProgramOf returns the program of a capability. ok is false when the capability is a workload
// type.
func ProgramOf(capability string) (program string, ok bool) {
	return strings.CutPrefix(capability, programPrefix)
}

// NeededCapability returns the capability that a workload needs beside its type. For a workload of
// type exec it is that of its program, otherwise it is empty. It is also empty when the input names
// no program: then the run fails and says why.
func NeededCapability(workloadType string, input JSON) string {
	if workloadType != TypeExec {
		return ""
	}
	var in struct {
		Command []string `json:"command"`
	}
	if err := json.Unmarshal([]byte(input), &in); err != nil || len(in.Command) == 0 || in.Command[0] == "" {
		return ""
	}
	return ProgramCapability(in.Command[0])
}

// validateNeeded refuses a program that no worker can offer. Otherwise the workload would wait for
// ever.
func validateNeeded(workloadType string, input JSON) error {
	program, ok := ProgramOf(NeededCapability(workloadType, input))
	if !ok {
		return nil
	}
	return ValidateProgram(program)
}

// ValidateProgram checks the name of a program. It is a name without slashes, which the worker
// looks up in its PATH, or an absolute path without "." and "..".
func ValidateProgram(program string) error {
	const field = "input_params.command"
	switch {
	case len(program) == 0 || len(program) > MaxProgram:
		return Invalid(field, "must name a program in 1 to %d bytes", MaxProgram)
	case strings.ContainsFunc(program, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\uFFFD' }):
		return Invalid(field, "must name a program without control characters")
	case !plainPath(program):
		return Invalid(field, "must name a program, or its absolute path without \".\" and \"..\"")
	}
	return nil
}

// plainPath reports whether a program is a name without slashes, or an absolute path in its
// shortest form.
func plainPath(program string) bool {
	parts := strings.Split(program, "/")
	if len(parts) > 1 && parts[0] == "" {
		parts = parts[1:]
	} else if len(parts) > 1 {
		return false
	}
	return !slices.ContainsFunc(parts, func(p string) bool { return p == "" || p == "." || p == ".." })
}

// IsType reports whether a capability is a workload type.
func IsType(capability string) bool { return !strings.Contains(capability, ":") }

// validateCapability checks a capability that a worker offers.
func validateCapability(field, capability string) error {
	if program, ok := ProgramOf(capability); ok {
		if err := ValidateProgram(program); err != nil {
			return Invalid(field, "must name programs as %s<name or absolute path>", programPrefix)
		}
		return nil
	}
	return ValidateType(field, capability)
}
