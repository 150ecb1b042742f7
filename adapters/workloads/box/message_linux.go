package box

import (
	"fmt"
	"syscall"
	"time"
)

// initName is the name by which this executable knows that it is to be an init.
const initName = "niyanta-exec-init"

// order is what an init is to do. Texts are bytes, because they need not be UTF-8.
type order struct {
	Layout  Layout
	Path    []byte
	Args    [][]byte
	Env     [][]byte
	Dir     []byte
	Files   int  // the program gets the descriptors below
	Stop    bool // stop the program before its first instruction
	UID     int  // the user of the program, and its group
	GID     int
	Change  bool // become that user; otherwise the init is it already
	Map     bool // the user must be mapped first: the init has a user namespace of its own
	Drop    bool // the program gets no capabilities
	Trial   bool // only try, without a program
	Release bool // the second message: let the stopped program run
}

// Layout is what a program sees of the file system in place of what is there.
type Layout struct {
	// Room is a folder in which the program sees nothing but Scratch, a folder in it.
	Room, Scratch string
	// Hidden are folders that are empty for the program. Those that do not exist are left out.
	Hidden []string
}

// reply is what an init tells. The first one carries a descriptor of the program.
type reply struct {
	// Step is what failed, with Errno. An empty step with an error is the start of the program.
	Failed bool
	Step   string
	Errno  int
	// Ended: the program has ended.
	Ended  bool
	Status int
	CPU    time.Duration
	// Peak is the highest memory of the program or of one of its children in KiB, and Base the
	// init's own, which the program shared before it executed.
	Peak, Base int64
}

// SetupError is why the namespaces of a program could not be prepared. It does not wrap the number of
// the error, because that says nothing of the program.
type SetupError struct {
	Step string
	Err  error
}

func (e *SetupError) Error() string {
	return fmt.Sprintf("prepare its namespaces: %s: %v", e.Step, e.Err)
}

// Ending is how a program ended.
type Ending struct {
	Status syscall.WaitStatus
	CPU    time.Duration
	// Peak is in bytes. It is 0 if it is not known.
	Peak int64
}
