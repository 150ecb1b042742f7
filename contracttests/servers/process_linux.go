package servers

import "syscall"

// EndWithParent has the kernel signal a process when the thread that started it ends.
func EndWithParent(a *syscall.SysProcAttr, s syscall.Signal) { a.Pdeathsig = s }
