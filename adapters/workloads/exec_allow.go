package workloads

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/niyanta/niyanta/core/domain"
)

// allowList maps what command[0] may be to the program that is started. An entry is a name, which
// is looked up in the worker's PATH once, or an absolute path. Input must spell it exactly like the
// entry: "echo" allows neither "./echo" nor "/tmp/echo" nor "/usr/bin/echo". So every program that
// a worker may start has one spelling, which is its capability, exec:<program>. The system follows
// links as usual: the operator is responsible for what an allowed path points to.
type allowList map[string]*allowed

// allowed is a program that may be started.
type allowed struct {
	path string
	// env are the variables that input may set beyond the default ones: names, and prefixes that
	// end in "*".
	env []string
}

// everyProgram stands for all programs in the list of variables.
const everyProgram = "*"

// newAllowList reads the entries of NIYANTA_EXEC_ALLOW and NIYANTA_EXEC_ENV. A program that cannot
// be started is left out, with a warning. asOther reports whether programs run as another user, who
// must be able to start them. An error means that the lists are malformed.
func newAllowList(programs, env []string, asOther bool) (allow allowList, warnings []string, err error) {
	allow = allowList{}
	for _, entry := range programs {
		if entry = strings.TrimSpace(entry); entry == "" {
			continue
		}
		path, err := find(entry, asOther)
		if err != nil {
			warnings = append(warnings, fmt.Sprintf("%q is not offered: %v", entry, err))
			continue
		}
		allow[entry] = &allowed{path: path}
	}
	for _, entry := range env {
		if entry = strings.TrimSpace(entry); entry == "" {
			continue
		}
		program, list, ok := strings.Cut(entry, "=")
		program = strings.TrimSpace(program)
		names := strings.Fields(list)
		if !ok || program == "" || len(names) == 0 {
			return nil, nil, fmt.Errorf("%q must look like program=NAME NAME", entry)
		}
		for _, name := range names {
			if err := checkAllowance(name); err != nil {
				return nil, nil, fmt.Errorf("%q: %w", entry, err)
			}
		}
		if program != everyProgram && !slices.ContainsFunc(programs,
			func(p string) bool { return strings.TrimSpace(p) == program }) {
			return nil, nil, fmt.Errorf("%q: the program %q is not allowed", entry, program)
		}
		for name, a := range allow {
			if program == everyProgram || program == name {
				a.env = append(a.env, names...)
			}
		}
	}
	return allow, warnings, nil
}

// ValidateEnv checks the setting of the variables that programs may get.
func ValidateEnv(programs, env []string) error {
	_, _, err := newAllowList(programs, env, false)
	return err
}

// find returns the path of an entry's program, or why it cannot be started.
func find(entry string, asOther bool) (string, error) {
	if err := domain.ValidateProgram(entry); err != nil {
		return "", err
	}
	path := entry
	if !filepath.IsAbs(entry) {
		var err error
		if path, err = exec.LookPath(entry); err != nil || !filepath.IsAbs(path) {
			return "", fmt.Errorf("no such program in PATH")
		}
	}
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return "", fmt.Errorf("no such program")
	case !info.Mode().IsRegular():
		return "", fmt.Errorf("is not a file")
	case !mayExecute(path):
		return "", fmt.Errorf("is not executable")
	case asOther && !executableByOthers(path):
		return "", fmt.Errorf("is not executable for the users that programs run as: it and all folders above need " +
			"permission for others")
	}
	return path, nil
}

// executableByOthers reports whether a user who neither owns a file nor is in its group may execute
// it, by its mode and the modes of the folders above it.
func executableByOthers(path string) bool {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return false
	}
	for ; ; real = filepath.Dir(real) {
		info, err := os.Stat(real)
		if err != nil || info.Mode()&0o001 == 0 {
			return false
		}
		if real == filepath.Dir(real) {
			return true
		}
	}
}

// capabilities returns the capabilities of a worker for its programs.
func (a allowList) capabilities() []string {
	out := make([]string, 0, len(a))
	for name := range a {
		out = append(out, domain.ProgramCapability(name))
	}
	slices.Sort(out)
	return out
}

// checkAllowance refuses a name that would allow more than it seems to.
func checkAllowance(name string) error {
	prefix, wild := strings.CutSuffix(name, "*")
	if !isVariable(prefix) || wild && len(prefix) < 3 {
		return fmt.Errorf("%q is not a variable's name, nor one of at least 3 characters with * at its end", name)
	}
	if reservedVariable(prefix) {
		return fmt.Errorf("%q is the worker's to set", name)
	}
	return nil
}

// isVariable reports whether every shell and library accepts the name as a plain variable.
func isVariable(name string) bool {
	for i, r := range name {
		letter := r == '_' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z'
		if !letter && (i == 0 || r < '0' || r > '9') {
			return false
		}
	}
	return name != ""
}

// permits reports whether input may set a variable beyond the default ones.
func (a *allowed) permits(name string) bool {
	return slices.ContainsFunc(a.env, func(e string) bool {
		prefix, wild := strings.CutSuffix(e, "*")
		return e == name || wild && strings.HasPrefix(name, prefix)
	})
}
