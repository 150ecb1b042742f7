package servers

import "syscall"

// EndWithParent has a process get a signal when the thread that starts it ends.
func EndWithParent(a *syscall.SysProcAttr, s syscall.Signal) { a.Pdeathsig = s }
