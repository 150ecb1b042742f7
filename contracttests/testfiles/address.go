package testfiles

import (
	"fmt"
	"os"
	"runtime"
	"syscall"
	"testing"
)

// DeadAddress returns an address of loopback that refuses connections, and that nobody can listen on
// until the test ends.
func DeadAddress(tb testing.TB) string {
	tb.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		tb.Fatal(err)
	}
	syscall.CloseOnExec(fd)
	tb.Cleanup(func() { _ = syscall.Close(fd) })
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		tb.Fatal(err)
	}
	bound, err := syscall.Getsockname(fd)
	in4, ok := bound.(*syscall.SockaddrInet4)
	if err != nil || !ok {
		tb.Fatalf("%v is the address of a socket: %v", bound, err)
	}
	return fmt.Sprintf("127.0.0.1:%d", in4.Port)
}

// OwnHost returns an address of loopback on which no other process listens: a port of it that is free
// stays free. Systems whose loopback is a single address return that.
func OwnHost() string {
	if runtime.GOOS != "linux" {
		return "127.0.0.1"
	}
	pid := os.Getpid()
	return fmt.Sprintf("127.%d.%d.%d", 1+pid>>16%127, pid>>8&0xff, 1+pid&0xff%254)
}
