package servers

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
)

// ChildrenOf returns the children of a process, without those that have ended. It returns none
// where the system has no /proc.
func ChildrenOf(parent int) (children []int) {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		b, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		var pid, ppid int
		var state string
		name := bytes.LastIndexByte(b, ')')
		if _, err := fmt.Sscan(string(b[name+1:]), &state, &ppid); err == nil && ppid == parent && state != "Z" {
			if _, err := fmt.Sscan(string(b), &pid); err == nil {
				children = append(children, pid)
			}
		}
	}
	return children
}
