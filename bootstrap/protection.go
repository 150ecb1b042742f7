package bootstrap

import "github.com/niyanta/niyanta/adapters/process"

// Shed removes the secrets from this process's environment, and closes its memory and descriptors
// to other processes of the same user. Commands of servers call it before anything else. See
// process.Shed.
func Shed() error {
	_, err := process.Shed()
	if err != nil {
		return err
	}
	_, err = process.Supervised() // removes its variable from the environment, which is read next
	return err
}
