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
	// ProtectionNone: the system has no means that this package knows.
	ProtectionNone Protection = "none"
	// ProtectionDumpable: the environment of the process holds no secrets, and the process is not
	// dumpable. Its /proc/<pid>/environ, mem, fd and maps, and ptrace, are closed to every process
	// without CAP_SYS_PTRACE.
	ProtectionDumpable Protection = "dumpable"
)

// handoverVariable holds the descriptor from which a child, or a new image, reads the rest of its
// environment.
const handoverVariable = "NIYANTA_HANDOVER_FD"

// Shed takes the secrets out of the environment that other processes can read. A server calls it
// before anything else.
//
// /proc/<pid>/environ shows the environment with which the image was executed, which nothing
// changes later. So Shed moves all but the harmless variables into a sealed file in memory, and
// executes the same image again, with the same process id and arguments. There, Shed reads the
// file, closes it, sets the variables, and makes the process not dumpable. It returns once, in an
// image whose os.Environ is complete and whose initial environment is harmless. Arguments stay as
// they are; they must not hold secrets.
//
// A process that was started with HandOver is not executed again. On systems other than Linux, Shed
// changes nothing and returns ProtectionNone. After an error, the environment is not complete, and
// the process must end.
//
// Until an image calls Shed, another process of the same user can look into it. So start workers
// before their programs run, or give the programs a user of their own.
func Shed() (Protection, error) {
	p, err := shed()
	hasShed.Store(err == nil)
	return p, err
}

var hasShed atomic.Bool

// HasShed reports whether Shed has returned in this process, as it has in every server. InForce
// does not tell: a process that starts a program as another user is not dumpable meanwhile.
func HasShed() bool { return hasShed.Load() }

// HandOver hides the environment of cmd (cmd.Env, or this process's if that is nil). cmd must start
// an image that calls Shed. Only harmless variables stay in the child's initial environment; a
// sealed file in memory holds the others. Call release, which closes this process's copy of the
// file, when cmd.Start has returned, with or without an error. On systems other than Linux, cmd
// stays as it is.
func HandOver(cmd *exec.Cmd) (release func(), err error) { return handOver(cmd) }

// harmless are the variables that stay in the initial environment: those that runtimes and the
// dynamic loader read before main, and those that any program may know.
var harmless = []string{
	"PATH", "HOME", "USER", "LOGNAME", "SHELL", "PWD", "HOSTNAME", "LANG", "LANGUAGE", "TZ", "TMPDIR", "TERM",
	"COLORTERM", "NO_COLOR",
	"GODEBUG", "GOGC", "GOMAXPROCS", "GOMEMLIMIT", "GOTRACEBACK", "GOCOVERDIR", "GORACE", "LD_LIBRARY_PATH", "LD_PRELOAD",
	"SSL_CERT_FILE", "SSL_CERT_DIR",
}

// split separates the harmless entries of an environment from the others.
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

// encode joins entries with NUL, which no entry can hold.
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

// InForce returns what protects this process now.
func InForce() Protection { return inForce() }
