package process

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

func shed() (Protection, error) {
	if text, ok := os.LookupEnv(handoverVariable); ok {
		if err := adopt(text); err != nil {
			return ProtectionNone, err
		}
		return conceal(), nil
	}
	open, hidden := split(os.Environ())
	if len(hidden) > 0 {
		// It returns only if it failed. Then the secrets stay where they are, and being not
		// dumpable still hides them.
		_ = executeAgain(open, hidden)
	}
	return conceal(), nil
}

// conceal makes the process not dumpable, and closes inherited descriptors in programs that it
// starts.
func conceal() Protection {
	CloseOnExec()
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return ProtectionNone
	}
	return ProtectionDumpable
}

func inForce() Protection {
	if n, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0); err == nil && n == 0 {
		return ProtectionDumpable
	}
	return ProtectionNone
}

// CloseOnExec has every descriptor of this process but the standard ones closed in programs that it
// starts. Go does so with what it opens, but not with inherited descriptors. Kernels before 5.11
// cannot; then nothing changes.
func CloseOnExec() {
	_ = unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC) // then they are inherited, as always
}

// adopt reads the environment that was handed over as a descriptor, and closes the descriptor.
func adopt(text string) error {
	if err := os.Unsetenv(handoverVariable); err != nil {
		return err
	}
	fd, err := strconv.Atoi(text)
	if err != nil || fd < 3 {
		return fmt.Errorf("%s=%q is not a descriptor", handoverVariable, text)
	}
	f := os.NewFile(uintptr(fd), "handover")
	b, err := io.ReadAll(io.NewSectionReader(f, 0, math.MaxInt64))
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("read the environment handed over at descriptor %d: %w", fd, err)
	}
	for _, entry := range decode(b) {
		name, value, ok := strings.Cut(entry, "=")
		if !ok || name == "" {
			continue
		}
		if err := os.Setenv(name, value); err != nil {
			return fmt.Errorf("set the variable %s handed over: %w", name, err)
		}
	}
	return nil
}

// sealed returns a file in memory that holds b and cannot change any more.
func sealed(b []byte) (*os.File, error) {
	fd, err := unix.MemfdCreate("niyanta-handover", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, fmt.Errorf("memfd_create: %w", err)
	}
	f := os.NewFile(uintptr(fd), "handover")
	if _, err = f.Write(b); err == nil {
		seals := unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE
		_, err = unix.FcntlInt(f.Fd(), unix.F_ADD_SEALS, seals)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("write the handover: %w", err), f.Close())
	}
	return f, nil
}

// executeAgain replaces this image by itself. It returns only if it failed.
func executeAgain(open, hidden []string) error {
	path, err := os.Executable()
	if err != nil {
		return err
	}
	f, err := sealed(encode(hidden))
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // it was only read from
	fd := f.Fd()
	if _, err := unix.FcntlInt(fd, unix.F_SETFD, 0); err != nil {
		return err
	}
	open = append(open, handoverVariable+"="+strconv.Itoa(int(fd)))
	return syscall.Exec(path, os.Args, open) //nolint:gosec // this program
}

func handOver(cmd *exec.Cmd) (release func(), err error) {
	environment := cmd.Env
	if environment == nil {
		environment = os.Environ()
	}
	open, hidden := split(environment)
	f, err := sealed(encode(hidden))
	if err != nil {
		return nil, err
	}
	cmd.ExtraFiles = append(cmd.ExtraFiles, f)
	// exec.Cmd gives its extra files the descriptors from 3 on, in order.
	cmd.Env = slices.Concat(open, []string{handoverVariable + "=" + strconv.Itoa(2+len(cmd.ExtraFiles))})
	return func() { _ = f.Close() }, nil // it was only read from
}
