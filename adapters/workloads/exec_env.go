package workloads

import (
	"regexp"
	"strings"
)

// The names of variables that a program gets.
const (
	// runVariable marks the processes of one run: its value cannot be guessed, and every process
	// that inherits the environment has it.
	runVariable = "NIYANTA_RUN"
)

// fromWorker are the variables that programs get with the worker's values. They get no other
// variables of the worker.
var fromWorker = []string{"LANG", "LC_ALL", "TZ"}

// programPath is the PATH of every program. The worker's own PATH may name folders that others can
// write to, or that are meant for the worker alone.
const programPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// settable are the variables that input may set for any program, with the pattern of their values:
// names of locales and time zones, but no paths.
var settable = map[string]*regexp.Regexp{
	"LANG": localeName, "LC_ALL": localeName, "LC_COLLATE": localeName, "LC_CTYPE": localeName, "LC_MESSAGES": localeName,
	"LC_MONETARY": localeName, "LC_NUMERIC": localeName, "LC_TIME": localeName, "TZ": zoneName,
}

var (
	localeName = regexp.MustCompile(`^[A-Za-z0-9_.@-]{0,64}$`)
	zoneName   = regexp.MustCompile(`^([A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+){0,2})?$`)
)

// reservedVariable reports whether only the worker sets a variable.
func reservedVariable(name string) bool {
	return strings.HasPrefix(name, "NIYANTA_") || name == "PATH" || name == "HOME" || name == "TMPDIR" ||
		name == "TRACEPARENT" || name == "CUDA_VISIBLE_DEVICES"
}

// checkEnv refuses variables that the operator did not allow.
func (a *allowed) checkEnv(name, value string) error {
	field := "input_params.env"
	switch {
	case !isVariable(name):
		return invalidInput(field, "%q is not a variable's name", name)
	case strings.ContainsRune(value, 0):
		return invalidInput(field+"."+name, "must not contain NUL")
	case reservedVariable(name):
		return invalidInput(field+"."+name, "cannot be set")
	case a.permits(name):
		return nil
	}
	pattern, ok := settable[name]
	if !ok {
		return invalidInput(field+"."+name, "this worker does not allow it for this program")
	}
	if !pattern.MatchString(value) {
		return invalidInput(field+"."+name, "must be the name of a locale or time zone")
	}
	return nil
}
