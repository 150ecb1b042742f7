package process

import (
	"bytes"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
)

// Protection says what keeps this process's secrets from other processes of the same user.
type Protection string

// The protections.
const (
	// ProtectionNone: the system offers nothing that this package knows to use.
	ProtectionNone Protection = "none"
	// ProtectionDumpable: the environment of the process holds no secrets, and the process is not dumpable: /proc/<pid>/environ,
	// mem, fd, maps and ptrace are closed to every process without CAP_SYS_PTRACE.
	ProtectionDumpable Protection = "dumpable"
)

// handoverVariable names, in a child's or new image's environment, the descriptor from which it reads the rest of it.
const handoverVariable = "NIYANTA_HANDOVER_FD"

// Shed leaves this process with an environment that others may read. A server calls it first of all, before it starts
// anything.
//
// What /proc/<pid>/environ shows was copied when the image was executed and can't be taken back. So Shed moves every variable
// but the harmless ones into a sealed file in memory and executes the same image again: same process id, same arguments.
// The call in the new image reads the file, closes it, sets the variables, and makes the process not dumpable. So Shed
// returns once, in an image whose os.Environ is complete and whose initial environment is harmless. Arguments are kept
// as they are and must never carry secrets.
//
// A process that was started with HandOver does not execute again. Where the system has no such means (anything but Linux),
// Shed changes nothing and returns ProtectionNone. An error means that what was handed over could not be read: the process
// has no complete environment and must end.
//
// Between the start of an image and its call of Shed, another process of the same user can still look into it: start workers
// before programs of theirs run, or give programs a user of their own.
func Shed() (Protection, error) {
	p, err := shed()
	hasShed.Store(err == nil)
	return p, err
}

var hasShed atomic.Bool

// HasShed reports whether Shed has returned in this process, as it has in every server. What protection is in force doesn't tell that:
// starting a program as another user closes the memory of whoever starts it, because the child shares it until its exec.
func HasShed() bool { return hasShed.Load() }

// HandOver prepares cmd, which starts an image that calls Shed, to get its environment (cmd.Env, or this process's if that
// is nil) without showing it: only harmless variables stand in the child's initial environment, the others travel in a
// sealed file in memory. release closes this process's copy of it: call it once cmd.Start has returned, whatever it returned.
// Where the system has no such means, cmd stays as it is.
func HandOver(cmd *exec.Cmd) (release func(), err error) { return handOver(cmd) }

// harmless are the variables that stay in the initial environment: what the runtimes and the dynamic loader read before
// main, and what says nothing that a program may not know.
var harmless = []string{
	"PATH", "HOME", "USER", "LOGNAME", "SHELL", "PWD", "HOSTNAME", "LANG", "LANGUAGE", "TZ", "TMPDIR", "TERM", "COLORTERM", "NO_COLOR",
	"GODEBUG", "GOGC", "GOMAXPROCS", "GOMEMLIMIT", "GOTRACEBACK", "GOCOVERDIR", "GORACE", "LD_LIBRARY_PATH", "LD_PRELOAD",
	"SSL_CERT_FILE", "SSL_CERT_DIR",
}

// split tells the harmless entries of an environment from the others.
func split(environment []string) (open, hidden []string) {
	for _, entry := range environment {
		name, _, _ := strings.Cut(entry, "=")
		switch {
		case name == handoverVariable: // of an earlier handover
		case slices.Contains(harmless, name) || strings.HasPrefix(name, "LC_"):
			open = append(open, entry)
		default:
			hidden = append(hidden, entry)
		}
	}
	return open, hidden
}

// encode joins entries as /proc/<pid>/environ does: no entry can hold a NUL.
func encode(entries []string) []byte { return []byte(strings.Join(entries, "\x00")) }

func decode(b []byte) []string {
	if len(b) == 0 {
		return nil
	}
	parts := bytes.Split(b, []byte{0})
	entries := make([]string, len(parts))
	for i, p := range parts {
		entries[i] = string(p)
	}
	return entries
}

// InForce says what protects this process now.
func InForce() Protection { return inForce() }
