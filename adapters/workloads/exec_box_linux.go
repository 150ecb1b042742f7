package workloads

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/niyanta/niyanta/adapters/workloads/box"
)

// boxes are the namespaces in which the programs of one worker run.
type boxes struct {
	kind box.Kind
	room string
}

// tried is whether boxes of a kind can be made, which this process tries once.
var tried = struct {
	sync.Mutex
	outcome map[string]error
}{outcome: map[string]error{}}

// newBoxes returns the boxes for a setting, or nil if programs run without.
func newBoxes(setting string, u *users, room *scratchRoom, log *slog.Logger) (*boxes, error) {
	if err := ValidateNamespaces(setting); err != nil {
		return nil, err
	}
	if setting == "none" {
		log.Warn("programs see the processes of this machine", "reason", "namespaces are switched off")
		return nil, nil //nolint:nilnil // documented
	}
	b := &boxes{kind: box.Unprivileged, room: room.path}
	if u != nil || hasCapability(unix.CAP_SYS_ADMIN) {
		b.kind = box.Privileged
	}
	err := b.try(u, room)
	switch {
	case err == nil:
		log.Info("every program runs in namespaces of its own", "user_namespace", b.kind == box.Unprivileged)
		return b, nil
	case setting == "required":
		return nil, fmt.Errorf("no namespaces for programs: %w", err)
	}
	log.Warn("programs see the processes of this machine: the worker may not make namespaces", "reason", err)
	return nil, nil //nolint:nilnil // documented
}

// try makes a box without a program. This process does so once for each kind.
func (b *boxes) try(u *users, room *scratchRoom) error {
	tried.Lock()
	defer tried.Unlock()
	what := fmt.Sprint(b.kind, u != nil)
	err, known := tried.outcome[what]
	if known {
		return err
	}
	uid := -1
	if u != nil {
		one, err := u.take()
		if err != nil {
			return err
		}
		defer one.giveBack()
		uid = int(one.id)
	}
	scratch, err := room.make(nil)
	if err != nil {
		return err
	}
	err = onThreadOfItsOwn(func() error {
		return errors.Join(forbidNewPrivileges(), box.Try(b.kind, b.layout(scratch), uid))
	})
	tried.outcome[what] = err
	return errors.Join(err, removeAll(scratch))
}

// hiddenRooms bounds how many other workers' folders are hidden from a program: programs that share
// their worker's user could make many.
const hiddenRooms = 256

// layout returns what a program sees whose scratch directory this is: none of the others.
func (b *boxes) layout(scratch string) box.Layout {
	l := box.Layout{Room: b.room, Scratch: scratch}
	parent := filepath.Dir(b.room)
	entries, _ := os.ReadDir(parent) // what cannot be listed cannot be entered by chance either
	for _, e := range entries {
		path := filepath.Join(parent, e.Name())
		if len(l.Hidden) < hiddenRooms && path != b.room && e.IsDir() && strings.HasPrefix(e.Name(), scratchPrefix) &&
			ownedFolder(path) {
			l.Hidden = append(l.Hidden, path)
		}
	}
	return l
}

// enclosed is the box of one program.
type enclosed struct {
	*box.Box
	end   box.Ending
	known bool // end is how the program ended; otherwise the init ended first
}

// enclose changes a command to start its program in a box, if the worker makes them.
func (p *program) enclose(cmd *exec.Cmd) error {
	if p.boxes == nil {
		return nil
	}
	b, err := box.Enclose(cmd, p.boxes.kind, p.boxes.layout(p.scratch), runVariable+"="+p.mark)
	if err != nil {
		return err
	}
	p.box = &enclosed{Box: b}
	p.family.boxed = true
	return nil
}

// launch starts the command, and returns the ids of its process and of its program.
func (p *program) launch(cmd *exec.Cmd) error {
	if p.box == nil {
		return kin.begin(&p.family, func() (int, error) { return p.bounds.start(cmd) })
	}
	err := kin.begin(&p.family, func() (int, error) {
		if err := cmd.Start(); err != nil {
			return 0, &box.SetupError{Step: "start the init", Err: innermost(err)}
		}
		return cmd.Process.Pid, nil
	})
	if err != nil {
		return err
	}
	pid, err := p.bounds.launch(p.box.Box, cmd.Process.Pid)
	if err != nil {
		if left := kin.end(&p.family, func() { _ = cmd.Wait() }); left != nil {
			p.lasting = true
			p.log.Error("the namespaces of a run could not be ended", "workload_id", string(p.task.WorkloadID), "error", left)
		}
		return err
	}
	kin.lead(&p.family, pid)
	return nil
}

// launch has a box start its program within the limits. child is the init of the box.
func (b *bounds) launch(x *box.Box, child int) (pid int, err error) {
	stop := b.stops && b.how != LimitsNone
	if b.group != nil && !stop {
		// Then the init is limited with the program. Otherwise what the program starts at once may
		// escape.
		if err := b.apply(child); err != nil {
			return 0, err
		}
	}
	return x.Launch(stop, b.apply)
}

// awaitProgram returns when the program has ended. It is not reaped.
func (p *program) awaitProgram() {
	if p.box == nil {
		awaitExit(p.family.leader)
		return
	}
	p.box.end, p.box.known = p.box.Await()
}

// ending returns how the program ended, after its process or its init was reaped.
func (p *program) ending(state *os.ProcessState) ending {
	if p.box == nil {
		return endingOf(state)
	}
	if p.box.known {
		return ending{known: true, status: p.box.end.Status, cpu: p.box.end.CPU, peak: p.box.end.Peak}
	}
	e := endingOf(state)
	e.known = e.known && e.status.Signaled() // it shared the end of its init
	return e
}

func (p *program) closeBox() {
	if p.box != nil {
		p.box.Close()
	}
}

// protect returns what keeps programs in their boxes, with users of their own or without.
func (b *boxes) protect(users bool) Namespaces {
	switch {
	case b == nil:
		return NamespacesNone
	case users:
		return NamespacesYes
	case b.kind == box.Unprivileged:
		return NamespacesUser
	}
	return NamespacesNone // the programs of root can leave them
}
