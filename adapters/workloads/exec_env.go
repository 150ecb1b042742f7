package workloads

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// allowList maps what input may say to the program that is started. An entry is a name, looked up in the worker's PATH
// once, or an absolute path; both are matched exactly, so that "echo" allows neither "./echo" nor "/tmp/echo". Links are
// followed by the system as usual: what an allowed path points to is the operator's.
type allowList map[string]string

func newAllowList(entries []string) allowList {
	allow := allowList{}
	for _, e := range entries {
		e = strings.TrimSpace(e)
		switch {
		case e == "":
		case filepath.IsAbs(e):
			allow[filepath.Clean(e)] = filepath.Clean(e)
		case !strings.Contains(e, "/"):
			path, err := exec.LookPath(e)
			if err == nil && filepath.IsAbs(path) {
				allow[e], allow[path] = path, path
				continue
			}
			// Kept, so that the failure names the program instead of calling it not allowed.
			allow[e] = filepath.Join("/nonexistent", e)
		}
	}
	return allow
}

// passedOn are the variables of the worker that programs see; nothing else of its environment does.
var passedOn = []string{"PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR"}

// environment is what the program sees: the few variables passed on, those of the input, and who it is.
func (p *program) environment() []string {
	var env []string
	for _, name := range passedOn {
		if v, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	for name, value := range p.in.Env {
		env = append(env, name+"="+value)
	}
	return append(
		env,
		"NIYANTA_WORKLOAD_ID="+string(p.task.WorkloadID),
		"NIYANTA_CUSTOMER_ID="+string(p.task.CustomerID),
		"NIYANTA_GENERATION="+strconv.FormatInt(p.task.Generation, 10),
		"NIYANTA_ATTEMPT="+strconv.Itoa(p.task.Attempt),
	)
}

// checkEnv refuses names that are none, and those by which another program could be made of an allowed one.
func checkEnv(name, value string) error {
	field := "input_params.env"
	switch {
	case name == "" || strings.ContainsAny(name, "=\x00"):
		return invalidInput(field, "%q is not a variable's name", name)
	case strings.ContainsRune(value, 0):
		return invalidInput(field+"."+name, "must not contain NUL")
	case strings.HasPrefix(name, "LD_"), strings.HasPrefix(name, "DYLD_"), strings.HasPrefix(name, "NIYANTA_"), name == "PATH":
		return invalidInput(field+"."+name, "cannot be set")
	}
	return nil
}
